"""Between the socket and the routes: connections, limits, headers, the access log."""
