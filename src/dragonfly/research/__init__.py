"""What plugs into the product through the hooks that a user's own code has: synthetic documents, how nano is made, studies."""
