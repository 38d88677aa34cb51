"""What the DICOM formats share: encoding, identities, terms, colours, and what a derived object says of its image."""
