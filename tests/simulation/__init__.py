"""The simulator: whole promotions on the real engine and adapters, tried by seeds. See docs/explanation/simulation.md."""
