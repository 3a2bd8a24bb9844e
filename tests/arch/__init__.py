"""Rules of the house that a reviewer should not have to check by eye."""
