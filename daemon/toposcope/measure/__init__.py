"""Plan, schedule, run and judge measurements."""
