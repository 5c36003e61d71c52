"""Pictures as geometry: where each bar and box stands. Pure; templates draw them as SVG."""
