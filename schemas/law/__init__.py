"""Law as data: rules with their validity, source and whether the source was checked."""
