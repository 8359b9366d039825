"""What the tests beside ML Metadata's client share with the others."""

from servers import servers  # noqa: F401  # a fixture
