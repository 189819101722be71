package toolpolicy

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// realPostgres is a server of its own on a socket of its own.
type realPostgres struct {
	folder, bin string
	credential  *syscall.SysProcAttr
}

// startRealPostgres ends the test where PostgreSQL is not installed: skipped,
// or failed where MCPGUARD_TEST_REQUIRE=all says that nothing may be missing.
func startRealPostgres(t *testing.T) *realPostgres {
	t.Helper()
	installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if found, err := exec.LookPath("postgres"); err == nil && len(installed) == 0 {
		installed = append(installed, found)
	}
	if len(installed) == 0 {
		missing(t, "PostgreSQL's server (Debian: postgresql)", exec.ErrNotFound)
	}
	folder, err := os.MkdirTemp("/tmp", "pg") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	p := &realPostgres{folder: folder, bin: filepath.Dir(installed[len(installed)-1])}
	if os.Geteuid() == 0 { // PostgreSQL refuses to be root
		p.becomeSomebody(t)
	}
	p.must(t, nil, "initdb", "-D", folder+"/data", "-U", "postgres", "--no-sync", "--locale=C", "-E", "UTF8")
	p.serve(t)
	return p
}

func (p *realPostgres) becomeSomebody(t *testing.T) {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, errU := strconv.ParseUint(u.Uid, 10, 32)
	gid, errG := strconv.ParseUint(u.Gid, 10, 32)
	if errU != nil || errG != nil {
		t.Fatalf("nobody is %s:%s", u.Uid, u.Gid)
	}
	p.credential = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if err := os.Chown(p.folder, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
}

func (p *realPostgres) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(p.bin, name), args...)
	c.Dir, c.SysProcAttr = p.folder, p.credential
	c.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=" + p.folder}
	return c
}

func (p *realPostgres) must(t *testing.T, stdin []byte, name string, args ...string) string {
	t.Helper()
	c := p.command(name, args...)
	var stderr bytes.Buffer
	c.Stdin, c.Stderr = bytes.NewReader(stdin), &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, stderr.String())
	}
	return string(out)
}

// serve waits until the server says that it is ready.
func (p *realPostgres) serve(t *testing.T) {
	t.Helper()
	c := p.command("postgres", "-D", p.folder+"/data", "-k", p.folder, "-h", "", "-F")
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan bool, 1), make(chan struct{})
	t.Cleanup(func() {
		if err := c.Process.Signal(syscall.SIGINT); err != nil {
			t.Errorf("stop the server: %v", err)
		}
		<-ended
		if err := c.Wait(); err != nil {
			t.Errorf("the server ended: %v", err)
		}
	})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if strings.Contains(lines.Text(), "ready to accept connections") {
				ready <- true
			}
		}
		close(ready)
	}()
	if !<-ready {
		t.Fatal("the server did not start")
	}
}

// psql runs a script as the superuser, ending at its first error.
func (p *realPostgres) psql(t *testing.T, script string) []string {
	t.Helper()
	out := p.must(t, []byte(script), "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", p.folder, "-U", "postgres", "postgres")
	return strings.Split(strings.TrimSuffix(out, "\n"), "\n")
}

// pgSetup makes tables, and a role agent that may do what the rule "reads" of
// the corpus says, and nothing more: not even the functions that are not pure,
// unless an operator, a cast, a type or an aggregate is made of them. The
// server then says for every statement whether the role may run it.
const pgSetup = `
CREATE TABLE orders(id int, total int, note text, name text, doc jsonb, at timestamptz, paid bool, tags text[], a int, b int, ssn text);
CREATE TABLE people(id int, doc jsonb, name text, ssn text);
CREATE SCHEMA crm; CREATE SCHEMA private;
CREATE TABLE crm.accounts(id int, password text, ssn text);
CREATE TABLE crm.users(id int, password text, ssn text);
CREATE TABLE crm.notes(id int);
CREATE TABLE crm.a(id int);
CREATE TABLE private.orders(id int);
CREATE ROLE agent;
REVOKE ALL ON ALL TABLES IN SCHEMA pg_catalog, information_schema FROM PUBLIC;
GRANT USAGE ON SCHEMA crm, private TO agent;
GRANT SELECT (id, total, note, name, doc, at, paid, tags, a, b) ON orders TO agent;
GRANT SELECT (id, password) ON crm.accounts TO agent;
GRANT SELECT (id) ON crm.users TO agent;
GRANT SELECT ON crm.notes, crm.a TO agent;
CREATE TABLE pure(name text PRIMARY KEY);
CREATE TABLE texts(id int, text text);
GRANT SELECT ON texts TO agent;
CREATE FUNCTION verdict(text text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE CASE WHEN text ~* '^\s*explain' THEN text ELSE 'EXPLAIN ' || text END;
	RETURN '00000';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
`

const pgRevoke = `
DO $$
DECLARE f regprocedure;
BEGIN
	FOR f IN SELECT p.oid FROM pg_proc p WHERE pronamespace = 'pg_catalog'::regnamespace AND proname NOT IN (SELECT name FROM pure)
		AND prokind = 'f' AND prorettype NOT IN ('trigger'::regtype, 'internal'::regtype)
		AND NOT EXISTS (SELECT 1 FROM pg_operator o WHERE p.oid IN (o.oprcode, o.oprrest, o.oprjoin))
		AND NOT EXISTS (SELECT 1 FROM pg_cast c WHERE c.castfunc = p.oid)
		AND NOT EXISTS (SELECT 1 FROM pg_type y WHERE p.oid IN (y.typinput, y.typoutput, y.typreceive, y.typsend, y.typmodin, y.typmodout, y.typanalyze, y.typsubscript))
		AND NOT EXISTS (SELECT 1 FROM pg_amproc a WHERE a.amproc = p.oid)
		AND NOT EXISTS (SELECT 1 FROM pg_aggregate g WHERE p.oid IN (g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn))
		AND NOT EXISTS (SELECT 1 FROM pg_proc s WHERE s.prosupport = p.oid)
		AND proname NOT IN ('like', 'notlike')
	LOOP
		EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
	END LOOP;
END $$;
`

func pgQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Whatever sql lets pass, a role may run that has exactly the rights which the
// rule tells of: the server finds no table, no column and no function beyond.
// And the other way round: without the rule it does find some, in texts of the
// same kind.
func TestPostgresStaysWithinRights(t *testing.T) {
	p := startRealPostgres(t)
	var setup strings.Builder
	setup.WriteString(pgSetup)
	for name := range pgPure {
		fmt.Fprintf(&setup, "INSERT INTO pure VALUES (%s);\n", pgQuote(name))
	}
	setup.WriteString(pgRevoke)

	texts, passes := pgTexts(t)
	for i, text := range texts {
		fmt.Fprintf(&setup, "INSERT INTO texts VALUES (%d, %s);\n", i, pgQuote(text))
	}
	setup.WriteString("SET ROLE agent;\nSELECT id || ' ' || replace(verdict(text), E'\\n', ' ') FROM texts ORDER BY id;\n")
	ran, refused := 0, 0
	for _, line := range p.psql(t, setup.String()) {
		number, verdict, ok := strings.Cut(line, " ")
		i, err := strconv.Atoi(number)
		if !ok || err != nil {
			t.Fatalf("psql says %q", line)
		}
		denied := strings.HasPrefix(verdict, "42501")
		switch {
		case denied && passes[i]:
			t.Errorf("sql lets pass, and the server says %s:\n%s", verdict, texts[i])
		case denied:
			refused++
		case passes[i] && verdict == "00000":
			ran++
		}
	}
	t.Logf("of %d texts, %d passed and ran, %d were beyond the role's rights and did not pass", len(texts), ran, refused)
	if ran < len(texts)/10 || refused < len(texts)/10 {
		t.Errorf("%d ran, %d refused: the test tests too little", ran, refused)
	}
}

// pgTexts are the corpus and its mutants, those that pass the rule "reads" and
// some that do not, as far as the server is to see them: EXPLAIN ANALYZE would
// run what it explains.
func pgTexts(t *testing.T) (texts []string, passes []bool) {
	t.Helper()
	var corpus, pieces []string
	rule := ""
	for _, c := range sqlCases(t, "sql_postgres.txtar") {
		if rule == "" {
			rule = c.rule
		}
		if c.rule == rule && !strings.Contains(c.text, "\x00") {
			corpus = append(corpus, c.text)
			pieces = append(pieces, sqlToken.FindAllString(c.text, -1)...)
		}
	}
	m := sqlRule(t, rule)
	rounds := 12_000
	if testing.Short() {
		rounds = 3_000
	}
	seen := map[string]bool{}
	kept := 0
	random := rand.New(rand.NewPCG(3, 4))
	for i := range rounds + len(corpus) {
		text := corpus[i%len(corpus)]
		if i >= len(corpus) {
			text = mutant(random, text, pieces)
		}
		read, how := m.dialect.read(text)
		if how != holds || read.does&^(selects|explains) != 0 || seen[text] || strings.Contains(strings.ToUpper(text), "ANALYZE") {
			continue
		}
		seen[text] = true
		out, _ := m.examineStatement(&read)
		pass := out == holds
		if !pass {
			if kept++; kept > 1500 {
				continue
			}
		}
		texts, passes = append(texts, text), append(passes, pass)
	}
	return texts, passes
}

// mutant changes a text in one to three places.
func mutant(random *rand.Rand, text string, pieces []string) string {
	tokens := sqlToken.FindAllString(text, -1)
	for range 1 + random.IntN(3) {
		at := random.IntN(len(tokens) + 1)
		switch piece := pieces[random.IntN(len(pieces))]; {
		case at == len(tokens) || random.IntN(2) == 0:
			tokens = slices.Insert(tokens, at, " "+piece+" ")
		case random.IntN(2) == 0:
			tokens[at] = piece
		default:
			tokens = slices.Delete(tokens, at, at+1)
		}
	}
	return strings.Join(tokens, "")
}

// The server's own tables say that what we call pure does not change anything,
// and which functions take a row.
func TestPostgresFunctionsAreWhatTheyAreCalled(t *testing.T) {
	p := startRealPostgres(t)
	var names []string
	for _, name := range slices.Sorted(maps.Keys(pgPure)) {
		names = append(names, pgQuote(name))
	}
	// They change nothing that anybody could see, though they answer differently each time.
	harmless := setOf("random clock_timestamp timeofday gen_random_uuid")
	for _, name := range p.psql(t, "SELECT DISTINCT proname FROM pg_proc WHERE provolatile = 'v' AND proname IN ("+strings.Join(names, ",")+")") {
		if !harmless[name] {
			t.Errorf("%s is called pure, and PostgreSQL calls it volatile", name)
		}
	}
	for _, name := range p.psql(t, `SELECT DISTINCT proname FROM pg_proc p WHERE
		EXISTS (SELECT 1 FROM unnest(p.proargtypes) t WHERE t IN (2249, 2283, 2276, 2776, 5077, 5079, 2287))
		AND (pronargs = 1 OR pronargdefaults >= pronargs - 1 OR provariadic <> 0)
		AND proname !~ '_(final|multi)$|^satisfies_|^(cume_dist|dense_rank|percent_rank|rank)$'`) {
		if !pgRowFunctions[name] {
			t.Errorf("%s takes a row, and is not among those that do", name)
		}
	}
}
