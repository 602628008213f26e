// Prepares the stack's own MongoDB: the replica set, NMDC's roles, the operator's role and user.
// Run by mongosh --nodb. It can run any number of times, even during a release.

const OPERATOR = "nmdc_release_operator";

// The minimal privileges for a release: docs/operator-role.md explains each action. JSON, so that a test can compare it.
const OPERATOR_ROLE = {
  "privileges": [
    {
      "resource": { "cluster": true },
      "actions": ["bypassWriteBlockingMode", "getParameter", "inprog", "serverStatus", "setUserWriteBlockMode"]
    },
    {
      "resource": { "db": "nmdc", "collection": "" },
      "actions": [
        "bypassDocumentValidation",
        "changeStream",
        "collMod",
        "collStats",
        "createCollection",
        "createIndex",
        "dbHash",
        "dbStats",
        "dropCollection",
        "find",
        "insert",
        "listCollections",
        "listIndexes",
        "renameCollectionSameDB"
      ]
    },
    {
      "resource": { "db": "nmdc_release_ops", "collection": "" },
      "actions": ["find", "insert", "remove", "update"]
    }
  ],
  "roles": []
};

// What a promotion needs besides.
const PROMOTER = "nmdc_release_promoter";
const VIEWER = "nmdc_release_account_viewer";
const PROMOTER_ROLE = {
  "privileges": [
    {
      "resource": { "db": "nmdc", "collection": "" },
      "actions": ["remove", "update"]
    }
  ],
  "roles": []
};

const VIEWER_ROLE = {
  "privileges": [
    { "resource": { "cluster": true }, "actions": ["viewUser"] },
    { "resource": { "db": "", "collection": "" }, "actions": ["viewRole"] },
    { "resource": { "db": "config", "collection": "" }, "actions": ["viewRole"] },
    { "resource": { "db": "local", "collection": "" }, "actions": ["viewRole"] }
  ],
  "roles": []
};

// The roles of NMDC's users, as the NMDC Runtime defines them.
const documentsOf = (collection) => ({
  resource: { db: "nmdc", collection },
  actions: ["find", "insert", "update", "remove"],
});
const NMDC_DATABASES = ["nmdc", "nmdc_updated", "nmdc_deleted", "nmdc_changesheet_submission_results"];
const OWN_PASSWORD = { resource: { db: "", collection: "" }, actions: ["changeOwnPassword"] };
const NMDC_ROLES = {
  nmdc_runtime: {
    privileges: [],
    roles: ["readWriteAnyDatabase", "dbAdminAnyDatabase"].map((role) => ({ role, db: "admin" })),
  },
  nmdc_scheduler: { privileges: [documentsOf("jobs")], roles: [{ role: "read", db: "nmdc" }] },
  nmdc_aggregator: {
    privileges: [documentsOf("functional_annotation_agg")],
    roles: [{ role: "read", db: "nmdc" }],
  },
  nmdc_reader: { privileges: [OWN_PASSWORD], roles: NMDC_DATABASES.map((db) => ({ role: "read", db })) },
  nmdc_editor: { privileges: [OWN_PASSWORD], roles: NMDC_DATABASES.map((db) => ({ role: "readWrite", db })) },
  all_dumper: {
    privileges: [{ resource: { db: "config", collection: "system.preimages" }, actions: ["find"] }],
    roles: [{ role: "backup", db: "admin" }],
  },
};

function setting(name) {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set: set it in .env, as docker/env.example shows`);
  }
  return value;
}

function waitFor(what, attempt) {
  let reason;
  for (let second = 0; second < 60; second += 1) {
    try {
      const result = attempt();
      if (result) {
        return result;
      }
    } catch (error) {
      reason = error;
    }
    sleep(1000);
  }
  throw new Error(`${what}: not available after 60 s${reason ? `: ${reason.message}` : ""}`);
}

function main() {
  const member = setting("MONGO_MEMBER");
  const password = setting("NMDC_OPERATOR_PASSWORD");
  const user = encodeURIComponent(setting("MONGO_ROOT_USERNAME"));
  const secret = encodeURIComponent(setting("MONGO_ROOT_PASSWORD"));
  const uri = `mongodb://${user}:${secret}@${member}/admin?directConnection=true&serverSelectionTimeoutMS=2000`;
  const admin = waitFor(`A connection to ${member}`, () => connect(uri));

  if (!admin.hello().setName) {
    admin.adminCommand({ replSetInitiate: { _id: "rs0", members: [{ _id: 0, host: member }] } });
    print("The replica set is initiated.");
  }
  waitFor("A primary", () => admin.hello().isWritablePrimary);

  for (const [name, { privileges, roles }] of Object.entries(NMDC_ROLES)) {
    // An existing role is not changed: a release may have demoted it at this moment.
    if (!admin.getRole(name)) {
      admin.createRole({ role: name, privileges, roles });
      print(`Role ${name} is created.`);
    }
  }

  const ours = { [OPERATOR]: OPERATOR_ROLE, [PROMOTER]: PROMOTER_ROLE, [VIEWER]: VIEWER_ROLE };
  for (const [name, role] of Object.entries(ours)) {
    if (admin.getRole(name)) {
      admin.updateRole(name, role);
    } else {
      admin.createRole({ role: name, ...role });
      print(`Role ${name} is created.`);
    }
  }
  const roles = Object.keys(ours).map((role) => ({ role, db: "admin" }));
  if (admin.getUser(OPERATOR)) {
    admin.updateUser(OPERATOR, { pwd: password, roles });
  } else {
    admin.createUser({ user: OPERATOR, pwd: password, roles });
    print(`User ${OPERATOR} is created.`);
  }
  print("MongoDB is ready.");
}

main();
