"""Every face of Paretune: command line, REST, web pages."""
