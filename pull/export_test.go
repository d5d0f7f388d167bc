package pull

// Inspect and Cut are tested by themselves: of what they are given, little comes by way
// of an upstream that can be had for a test.
var (
	Inspect = inspect
	Cut     = cut
)
