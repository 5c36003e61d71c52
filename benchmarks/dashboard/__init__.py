"""What the dashboard costs: pages under load, growth with the records, memory, and the time to the browser."""
