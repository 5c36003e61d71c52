"""What people ask for in the browser and over the API, queued and run."""
