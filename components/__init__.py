"""KFP components: each is one import and one call."""
