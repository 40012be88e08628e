package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// The operators. What each replaces is in the comments.
const (
	opNegate = "negate" // the condition of an if, a for or a case without a tag, by its negation
	opCall   = "call"   // a statement that is a call, by nothing
	opAssign = "assign" // an assignment (not a declaration), by nothing
	opSwap   = "swap"   // an operator, by the one in swaps
)

var swaps = map[token.Token]token.Token{
	token.EQL: token.NEQ, token.NEQ: token.EQL,
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.LAND: token.LOR, token.LOR: token.LAND,
	token.ADD: token.SUB, token.SUB: token.ADD,
}

// id names a mutant independently of files and directories.
type id struct {
	Package string // the logical name in targets.txt
	Func    string // Function, or Type.Method
	Op      string
	N       int // the n-th of this operator in the function, from 1
}

func (i id) String() string { return fmt.Sprintf("%s %s %s %d", i.Package, i.Func, i.Op, i.N) }

// mutant is one change of one file.
type mutant struct {
	id
	Text       string // what is changed, in one line
	dir, file  string // file is an absolute path
	start, end int    // the bytes that are replaced
	with       string
}

// apply gives the content of the file with the change.
func (m mutant) apply(content []byte) []byte {
	return append(append(append([]byte{}, content[:m.start]...), m.with...), content[m.end:]...)
}

// find lists the mutants of the package in dir, an absolute path, in the order of
// its files, and its functions.
func find(name, dir string) (all []mutant, functions []string, err error) {
	p, err := build.ImportDir(dir, 0)
	if err != nil {
		return nil, nil, err
	}
	counts := map[id]int{} // with N = 0
	for _, file := range p.GoFiles {
		file = filepath.Join(dir, file)
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, content, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			functions = append(functions, funcName(f))
			finder := finder{set: set, content: content, whole: map[ast.Expr]bool{}}
			finder.walk(f.Body)
			for _, m := range finder.found {
				m.Package, m.Func, m.dir, m.file = name, funcName(f), dir, file
				counts[m.id]++
				m.N = counts[m.id]
				all = append(all, m)
			}
		}
	}
	return all, functions, nil
}

// matches reports whether a file matches one of globs; none means all.
func matches(file string, globs []string) bool {
	for _, g := range globs {
		if ok, _ := filepath.Match(g, file); ok {
			return true
		}
	}
	return len(globs) == 0
}

func funcName(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return f.Name.Name
	}
	t := f.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + "." + f.Name.Name
		default:
			return f.Name.Name
		}
	}
}

// finder collects the mutants of one function.
type finder struct {
	set     *token.FileSet
	content []byte
	whole   map[ast.Expr]bool // conditions: swapping their == is negating them
	found   []mutant
}

func (f *finder) walk(body ast.Node) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			f.condition(n.Cond)
		case *ast.ForStmt:
			f.condition(n.Cond)
		case *ast.SwitchStmt:
			if n.Tag == nil {
				for _, c := range n.Body.List {
					for _, e := range c.(*ast.CaseClause).List {
						f.condition(e)
					}
				}
			}
		case *ast.BlockStmt:
			f.statements(n.List)
		case *ast.CaseClause:
			f.statements(n.Body)
		case *ast.CommClause:
			f.statements(n.Body)
		case *ast.BinaryExpr:
			f.operator(n)
		}
		return true
	})
}

func (f *finder) condition(e ast.Expr) {
	if e == nil {
		return
	}
	f.whole[e] = true
	f.add(opNegate, e.Pos(), e.End(), "!("+f.source(e.Pos(), e.End())+")", f.line(e))
}

func (f *finder) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt:
			if _, ok := s.X.(*ast.CallExpr); ok {
				f.add(opCall, s.Pos(), s.End(), "{}", f.line(s))
			}
		case *ast.IncDecStmt:
			f.add(opAssign, s.Pos(), s.End(), "{}", f.line(s))
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE && !blank(s.Lhs) {
				f.add(opAssign, s.Pos(), s.End(), "{}", f.line(s))
			}
		}
	}
}

// blank reports whether nothing is assigned to but _.
func blank(left []ast.Expr) bool {
	for _, e := range left {
		if name, ok := e.(*ast.Ident); !ok || name.Name != "_" {
			return false
		}
	}
	return true
}

func (f *finder) operator(e *ast.BinaryExpr) {
	other, ok := swaps[e.Op]
	negates := e.Op == token.EQL || e.Op == token.NEQ
	if !ok || negates && f.whole[e] || e.Op == token.ADD && (text(e.X) || text(e.Y)) {
		return
	}
	end := e.OpPos + token.Pos(len(e.Op.String()))
	f.add(opSwap, e.OpPos, end, other.String(), fmt.Sprintf("%s to %s: %s", e.Op, other, f.line(e)))
}

// text reports whether an expression is a string for sure: without types the
// other strings are found by the compiler.
func text(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind == token.STRING
	case *ast.BinaryExpr:
		return text(e.X) || text(e.Y)
	}
	return false
}

func (f *finder) add(op string, start, end token.Pos, with, text string) {
	f.found = append(f.found, mutant{
		id: id{Op: op}, Text: text, with: with,
		start: f.set.Position(start).Offset, end: f.set.Position(end).Offset,
	})
}

func (f *finder) source(start, end token.Pos) string {
	return string(f.content[f.set.Position(start).Offset:f.set.Position(end).Offset])
}

// maxText bounds what the record shows of a place, in characters.
const maxText = 80

func (f *finder) line(n ast.Node) string {
	s := []rune(strings.Join(strings.Fields(f.source(n.Pos(), n.End())), " "))
	if len(s) > maxText {
		s = append(s[:maxText-1], '…')
	}
	return string(s)
}
