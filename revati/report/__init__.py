"""One HTML file about a sweep or a benchmark, and the same numbers as CSV and JSON: `revati report`."""
