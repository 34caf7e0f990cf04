"""What the policy in force says about a call: pure decisions for the engine and the interceptor."""
