"""What can make a producer miss or leak, looked for and told with its remedy."""
