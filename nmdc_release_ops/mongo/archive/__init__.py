"""An archive on disk: its manifest, its blocks, making one, and taking over what other programs dumped."""
