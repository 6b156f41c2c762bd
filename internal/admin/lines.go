package admin

import (
	"bufio"
	"bytes"
	"io"
)

// lines reads a stream line by line and passes over the empty ones, by which the
// other side says that it is still there.
type lines struct{ s *bufio.Scanner }

func newLines(r io.Reader) *lines {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxAnswer)
	return &lines{s}
}

// next is io.EOF at the end.
func (l *lines) next() ([]byte, error) {
	for l.s.Scan() {
		if line := bytes.TrimSpace(l.s.Bytes()); len(line) > 0 {
			return line, nil
		}
	}
	if err := l.s.Err(); err != nil {
		return nil, err
	}
	return nil, io.EOF
}
