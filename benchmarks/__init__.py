"""Scripts that print ratios against real peers, measured interleaved in one run. Never part of the tests."""
