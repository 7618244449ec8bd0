"""Many runs of one scenario: fault plans, exhaustive or at random; failures shrunk; situations counted."""
