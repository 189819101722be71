package toolpolicy

import "strings"

// sqlitePure are functions of SQLite that compute from their arguments and
// change nothing. Left out are those that look at or change the connection,
// load code, read or write files, and those made to use up memory.
var sqlitePure = setOf(`
	abs coalesce concat concat_ws format glob hex if ifnull iif instr length like likelihood likely lower ltrim max min
	nullif octet_length printf quote random replace round rtrim sign soundex substr substring trim typeof unhex unicode
	unistr unistr_quote unlikely upper char
	acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow power
	radians sin sinh sqrt tan tanh trunc
	date time datetime julianday unixepoch strftime timediff
	avg count group_concat median percentile percentile_cont percentile_disc string_agg sum total
	row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
	json json_array json_array_length json_error_position json_extract json_insert json_object json_patch json_pretty
	json_quote json_remove json_replace json_set json_type json_valid json_group_array json_group_object
	jsonb jsonb_array jsonb_extract jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set
	jsonb_group_array jsonb_group_object json_each json_tree jsonb_each jsonb_tree`)

// sqliteVirtual are tables that nobody created and that show more than data.
// Those whose names begin with sqlite_ and pragma_ go without saying.
var sqliteVirtual = setOf(`bytecode carray completion dbstat explain fsdir qpvtab tables_used zipfile`)

// setOf reads names separated by white space.
func setOf(names string) map[string]bool {
	set := map[string]bool{}
	for _, name := range strings.Fields(names) {
		set[name] = true
	}
	return set
}
