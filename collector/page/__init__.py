"""Pages for browsers: templates and styles, rendered here on the server. Next stop: the routes in collector/audit that show them."""
