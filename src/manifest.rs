//! YAML files as documents with byte spans: splitting, identity, trees. Pure.
