"""Pure functions on arrays: measures, paired tests, calibration, decision and gate rules."""
