"""mongod, mongodump and mongorestore as processes that never outlive us."""
