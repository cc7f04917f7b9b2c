"""The command `depth_anything`: one module per subcommand."""
