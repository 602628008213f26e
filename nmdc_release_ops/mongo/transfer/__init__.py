"""Archives: dump, load, stage, and the two engines that do it."""
