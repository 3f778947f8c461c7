package manpage

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func tree() *cobra.Command {
	nothing := func(*cobra.Command, []string) {}
	root := &cobra.Command{Use: "tool", Short: "Do things", Run: nothing}
	root.PersistentFlags().StringP("config", "c", "", "configuration `FILE`")
	verb := &cobra.Command{Use: "go HOST", Short: "Go there", Long: "Go there.\n\n  a table\n  of lines\n\n.and back \\ again", Example: "  tool go 'a b'\n  tool go -x", Run: nothing}
	verb.Flags().Duration("wait", 0, "how long")
	verb.Flags().Int("count", 3, "how often")
	verb.Flags().Bool("secret", false, "not for you")
	if err := verb.Flags().MarkHidden("secret"); err != nil {
		panic(err)
	}
	group := &cobra.Command{Use: "group"}
	group.AddCommand(&cobra.Command{Use: "stay", Short: "Stay here", Run: nothing})
	root.AddCommand(verb, group)
	return root
}

func TestWrite(t *testing.T) {
	text := string(Write(tree(), 8, Part{"FILES", "one\n\ntwo"}))
	at := 0
	for _, want := range []string{
		".TH TOOL 8 ", ".SH NAME\ntool \\- do things\n", ".SH SYNOPSIS\n.B tool go HOST [flags]\n", ".B tool group stay\n",
		".SH COMMANDS\n.SS go HOST [flags]\n.PP\nGo there.\n.PP\n.nf\n  a table\n  of lines\n.fi\n.PP\n\\&.and back \\e again\n",
		"\\-\\-count int       how often (default 3)\n", "\\-\\-wait duration   how long\n.fi\n",
		".EX\ntool go 'a b'\ntool go \\-x\n.EE\n", ".SS group stay\n.PP\nStay here.\n",
		".SH OPTIONS\n.PP\n.nf\n  \\-c, \\-\\-config FILE   configuration FILE\n", "\\-\\-help ", ".SH FILES\n.PP\none\n.PP\ntwo\n",
	} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Fatalf("no %q, or not in its place, in\n%s", want, text)
		}
		at += i
	}
	if strings.Contains(text, "secret") {
		t.Errorf("a hidden flag is shown:\n%s", text)
	}
	if got := Examples([]byte(text)); !slices.Equal(got, []string{"tool go 'a b'", "tool go -x"}) {
		t.Errorf("examples %q", got)
	}
}
