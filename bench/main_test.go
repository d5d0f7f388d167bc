package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-cache/berth/bench/report"
)

func TestRunWritesBoth(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "out.json")
	var out strings.Builder
	err := run(t.Context(), []string{"-mini", "-rounds", "1", "-rows", "^cold$", "-contenders", "direct|nginx", "-json", file, "-folder", folder}, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"berth ", "distribution v3", "THE NUMBERS MEAN NOTHING", "\ncold: ", "\n  direct ", "berth pulled in ≤ 1.05 × direct: not measured"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got report.Run
	if err := json.Unmarshal(content, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 1 || got.Rows[0].Name != "cold" || got.Rows[0].Contenders[0].Rounds[0]["last"] <= 0 {
		t.Errorf("JSON is\n%s", content)
	}
	left, err := os.ReadDir(folder)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		{"-rows", "("},
		{"-rows", "nothing like it"},
		{"-contenders", "zot"},
		{"-contenders", "("},
		{"-server-cpus", "x"},
		{"-rounds", "many"},
		{"-what"},
		{"rows"},
	} {
		if err := run(t.Context(), args, new(strings.Builder)); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestOptions(t *testing.T) {
	o, err := parse([]string{"-rows", "blob", "-rounds", "7", "-objects", "500", "-tls", "-server-cpus", "0"})
	if err != nil {
		t.Fatal(err)
	}
	if o.scale.Rounds != 7 || o.scale.Objects != 500 || o.scale.Hot != 500 || !o.conditions.TLS || o.servers.String() != "0" || slices.Contains(o.clients, 0) {
		t.Errorf("%+v", o)
	}
	rows, err := o.selected()
	if err != nil || len(rows) != 2 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	if text := o.settings(); !strings.HasPrefix(text, "7 rounds, ") || !strings.Contains(text, "-tls") || strings.Contains(text, "miniature") {
		t.Errorf("settings %q", text)
	}
}
