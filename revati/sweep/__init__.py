"""Many configurations, one after the other or side by side: `revati sweep`."""
