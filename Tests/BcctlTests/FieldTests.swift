import Testing

@testable import bcctl
