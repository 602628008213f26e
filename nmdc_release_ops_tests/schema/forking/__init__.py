"""Environments whose Python forks a process that has imported everything already, instead of starting one."""
