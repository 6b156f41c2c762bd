package alerts

// Severity is the value of the label severity.
type Severity string

// ranks of the words in use; a word that is not among them is as a warning, since
// nobody who wrote it meant that it does not matter.
var ranks = map[Severity]int{
	"": 0, "none": 0, "debug": 0, "info": 1, "low": 1, "warning": 2, "medium": 2, "error": 3, "high": 3, "critical": 4, "page": 4, "fatal": 4,
}

// Rank orders severities, from 0 (none) to 4 (critical).
func (s Severity) Rank() int {
	if r, ok := ranks[s]; ok {
		return r
	}
	return 2
}

// WorseThan tells whether s is to be taken more seriously.
func (s Severity) WorseThan(other Severity) bool { return s.Rank() > other.Rank() }
