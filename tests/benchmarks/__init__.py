"""Tests of benchmarks/: that it runs and says what it measured; never how fast anything is."""
