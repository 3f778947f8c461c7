// Package doctest takes the code blocks out of the documentation, so that
// tests can run what readers will type.
package doctest

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
)

// Block is one fenced code block.
type Block struct {
	File string
	Line int    // of the first line inside the fence
	Lang string // the word behind the opening fence
	Text string
}

// String is the block's place.
func (b Block) String() string { return fmt.Sprintf("%s:%d", b.File, b.Line) }

// Blocks reads the fenced code blocks of a Markdown file. A fence that is not
// closed is an error.
func Blocks(path string) ([]Block, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var blocks []Block
	var open *Block
	var text strings.Builder
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && open == nil:
			open = &Block{File: path, Line: n + 1, Lang: fence}
			text.Reset()
		case isFence:
			open.Text = text.String()
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			text.WriteString(line + "\n")
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s: the fence is not closed", open)
	}
	return blocks, lines.Err()
}

// Commands are the lines of a shell block without comments and prompts.
func (b Block) Commands() []string {
	var out []string
	for line := range strings.Lines(b.Text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		out = append(out, strings.TrimPrefix(line, "$ "))
	}
	return out
}
