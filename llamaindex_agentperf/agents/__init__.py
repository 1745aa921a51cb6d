"""Agents and workflows whose tool calls run at once and come back in order."""
