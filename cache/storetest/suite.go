package storetest

import (
	"testing"

	"github.com/berth-cache/berth/cache/store"
)

// Run runs the suite. newStore makes an empty store and closes it with the test.
func Run(t *testing.T, newStore func(t *testing.T) store.Store) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"committed content is held", testCommit},
		{"content of no bytes", testEmpty},
		{"sha512", testSHA512},
		{"staged content is invisible", testInvisible},
		{"size is a hint", testSizeHint},
		{"nothing is held of what was discarded", testDiscard},
		{"discard after commit does nothing", testDiscardAfterCommit},
		{"reader follows the writer", testFollow},
		{"stretches in any order", testWriteAt},
		{"reader of staged content survives", testStagedReaders},
		{"reader survives delete", testReaderSurvivesDelete},
		{"seek and read at", testSeek},
		{"delete", testDelete},
		{"drop", testDrop},
		{"second commit of one digest", testSecondCommit},
		{"usage", testUsage},
		{"use", testUse},
		{"concurrent commits", testConcurrentCommits},
		{"commit against delete", testCommitAgainstDelete},
		{"digests that are none", testBadDigests},
		{"context", testContext},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newStore(t)) })
	}
}
