package toolpolicy

// pgField says how a field of a node of PostgreSQL's parse tree is read.
type pgField uint8

const (
	ignored     pgField = iota // it says nothing about what the statement touches
	nodes                      // a node, or a list of them
	operator                   // the name of an operator
	relation                   // the table that is written
	written                    // the columns that are written
	using                      // the columns of JOIN ... USING
	subscripts                 // what stands behind a value: only [1] and [1:2] are known
	alias                      // the alias of something in FROM
	joinAlias                  // the alias of a join, under which its columns may get other names
	aSelect                    // the fields of a SelectStmt
	aWindow                    // the fields of a WindowDef
	aType                      // the fields of a TypeName
	aConflict                  // the fields of an OnConflictClause
	anInference                // the fields of an InferClause
	natural                    // of a join: it compares columns without naming them
	into                       // SELECT ... INTO makes a table
	locking                    // FOR UPDATE and its like
	indexColumn                // the column of ON CONFLICT
)

// pgNodes are the nodes and fields that are known; whatever else is in a tree
// makes the statement unclear. Nodes are called as in PostgreSQL's
// parsenodes.h and primnodes.h, fields as libpg_query writes them.
// What is not here is read before the fields are, by its own name, in pgReader.
var pgNodes = map[string]map[string]pgField{
	"SelectStmt": {
		"distinctClause": nodes, "intoClause": into, "targetList": nodes, "fromClause": nodes, "whereClause": nodes,
		"groupClause": nodes, "groupDistinct": ignored, "havingClause": nodes, "windowClause": nodes, "valuesLists": nodes,
		"sortClause": nodes, "limitOffset": nodes, "limitCount": nodes, "limitOption": ignored, "lockingClause": locking,
		"withClause": ignored, "op": ignored, "all": ignored, "larg": aSelect, "rarg": aSelect,
	},
	"InsertStmt": {
		"relation": relation, "cols": written, "selectStmt": nodes, "onConflictClause": aConflict, "returningList": nodes,
		"withClause": ignored, "override": ignored,
	},
	"OnConflictClause": {"action": ignored, "infer": anInference, "targetList": written, "whereClause": nodes, "location": ignored},
	"InferClause":      {"indexElems": nodes, "whereClause": nodes, "conname": ignored, "location": ignored},
	"IndexElem":        {"name": indexColumn, "expr": nodes, "ordering": ignored, "nulls_ordering": ignored},
	"UpdateStmt": {
		"relation": relation, "targetList": written, "whereClause": nodes, "fromClause": nodes, "returningList": nodes,
		"withClause": ignored,
	},
	"DeleteStmt": {
		"relation": relation, "usingClause": nodes, "whereClause": nodes, "returningList": nodes, "withClause": ignored,
	},
	"ResTarget":      {"name": ignored, "indirection": subscripts, "val": nodes, "location": ignored},
	"MultiAssignRef": {"source": nodes, "colno": ignored, "ncolumns": ignored},
	"SetToDefault":   {"location": ignored},

	"RangeVar":       {"schemaname": ignored, "relname": ignored, "inh": ignored, "relpersistence": ignored, "alias": joinAlias, "location": ignored},
	"RangeSubselect": {"lateral": ignored, "subquery": nodes, "alias": alias},
	"RangeFunction":  {"lateral": ignored, "ordinality": ignored, "is_rowsfrom": ignored, "functions": nodes, "alias": alias},
	"JoinExpr": {
		"jointype": ignored, "isNatural": natural, "larg": nodes, "rarg": nodes, "usingClause": using,
		"join_using_alias": joinAlias, "quals": nodes, "alias": joinAlias, "rtindex": ignored,
	},

	"ColumnRef": {"fields": ignored, "location": ignored},
	"FuncCall": {
		"funcname": ignored, "args": nodes, "agg_order": nodes, "agg_filter": nodes, "over": aWindow,
		"agg_within_group": ignored, "agg_star": ignored, "agg_distinct": ignored, "func_variadic": ignored,
		"funcformat": ignored, "location": ignored,
	},
	"SQLValueFunction": {"op": ignored, "typmod": ignored, "location": ignored},
	"TypeCast":         {"arg": nodes, "typeName": aType, "location": ignored},
	"TypeName":         {"names": ignored, "typmods": nodes, "typemod": ignored, "arrayBounds": ignored, "location": ignored},

	"A_Const":       {"ival": ignored, "fval": ignored, "boolval": ignored, "sval": ignored, "bsval": ignored, "isnull": ignored, "location": ignored},
	"Integer":       {"ival": ignored}, // a bound of an array
	"ParamRef":      {"number": ignored, "location": ignored},
	"A_Expr":        {"kind": ignored, "name": operator, "lexpr": nodes, "rexpr": nodes, "location": ignored},
	"BoolExpr":      {"boolop": ignored, "args": nodes, "location": ignored},
	"NullTest":      {"arg": nodes, "nulltesttype": ignored, "location": ignored},
	"BooleanTest":   {"arg": nodes, "booltesttype": ignored, "location": ignored},
	"SubLink":       {"subLinkType": ignored, "testexpr": nodes, "operName": operator, "subselect": nodes, "location": ignored},
	"CaseExpr":      {"arg": nodes, "args": nodes, "defresult": nodes, "location": ignored},
	"CaseWhen":      {"expr": nodes, "result": nodes, "location": ignored},
	"CoalesceExpr":  {"args": nodes, "location": ignored},
	"MinMaxExpr":    {"op": ignored, "args": nodes, "location": ignored},
	"NamedArgExpr":  {"arg": nodes, "name": ignored, "argnumber": ignored, "location": ignored},
	"RowExpr":       {"args": nodes, "row_format": ignored, "location": ignored},
	"A_ArrayExpr":   {"elements": nodes, "location": ignored},
	"A_Indirection": {"arg": nodes, "indirection": subscripts},
	"A_Indices":     {"is_slice": ignored, "lidx": nodes, "uidx": nodes},
	"CollateClause": {"arg": nodes, "collname": ignored, "location": ignored},
	"List":          {"items": nodes},
	"GroupingSet":   {"kind": ignored, "content": nodes, "location": ignored},
	"GroupingFunc":  {"args": nodes, "location": ignored},
	"SortBy":        {"node": nodes, "sortby_dir": ignored, "sortby_nulls": ignored, "useOp": operator, "location": ignored},
	"WindowDef": {
		"name": ignored, "refname": ignored, "partitionClause": nodes, "orderClause": nodes, "frameOptions": ignored,
		"startOffset": nodes, "endOffset": nodes, "location": ignored,
	},
	"LockingClause": {"lockedRels": ignored, "strength": ignored, "waitPolicy": ignored},
}

// pgOperators are PostgreSQL's own operators that compute or compare.
var pgOperators = setOf(`
	= <> < > <= >= + - * / % ^ |/ ||/ @ & | # ~ << >> || ~~ !~~ ~~* !~~* ~* !~ !~* -> ->> #> #>> #- @> <@ ? ?| ?& @? @@
	&& <<= >>= &< &> -|- <-> ^@`)

// pgTypes are types that a value may be cast to. Left out are those that look
// names up in the system tables (regclass and its like), and xml.
var pgTypes = setOf(`
	bool int2 int4 int8 float4 float8 numeric money text varchar bpchar char bit varbit bytea uuid json jsonb jsonpath
	date time timetz timestamp timestamptz interval inet cidr macaddr macaddr8 point line lseg box path polygon circle
	tsvector tsquery int4range int8range numrange tsrange tstzrange daterange int4multirange int8multirange nummultirange
	tsmultirange tstzmultirange datemultirange`)

// pgRowFunctions take a whole row: t.to_json is to_json(t), though it looks
// like a column. PostgreSQL reads it so where the table has no such column.
var pgRowFunctions = setOf(`
	any_out anycompatible_out anycompatiblenonarray_out anyelement_out anynonarray_out array_agg concat concat_ws
	count first_value format hash_record hash_record_extended json_agg json_agg_strict jsonb_agg jsonb_agg_strict json_build_array json_build_object
	jsonb_build_array jsonb_build_object lag last_value lead mode num_nonnulls num_nulls pg_collation_for any_value
	pg_column_compression pg_column_size pg_typeof quote_literal quote_nullable record_out record_send row_to_json
	to_json to_jsonb hstore`)

// pgPure are functions of PostgreSQL that compute from their arguments, or tell
// the time, and change nothing. Left out are those that run text as a query,
// reach files, the network, settings, sequences, locks and other sessions, and
// those made to wait or to use up memory.
var pgPure = setOf(`
	count sum avg min max array_agg string_agg bool_and bool_or every bit_and bit_or bit_xor corr covar_pop covar_samp
	regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp
	var_pop var_samp variance mode percentile_cont percentile_disc json_agg jsonb_agg json_object_agg jsonb_object_agg
	range_agg row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
	abs cbrt ceil ceiling degrees div exp factorial floor gcd lcm ln log log10 mod pi power radians round scale sign sqrt
	trim_scale trunc width_bucket acos asin atan atan2 cos cot sin tan sinh cosh tanh random
	ascii bit_length btrim char_length character_length chr concat concat_ws decode encode format initcap left length lower
	lpad ltrim md5 normalize octet_length overlay position quote_ident quote_literal quote_nullable regexp_count regexp_instr
	regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr replace
	reverse right rpad rtrim sha224 sha256 sha384 sha512 split_part starts_with string_to_array string_to_table strpos substr
	substring to_hex translate upper similar_to_escape like_escape is_normalized get_bit get_byte set_bit set_byte bit_count
	age clock_timestamp date_bin date_part date_trunc extract isfinite justify_days justify_hours justify_interval make_date
	make_interval make_time make_timestamp make_timestamptz now statement_timestamp transaction_timestamp timezone timeofday
	to_char to_date to_number to_timestamp
	array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions
	array_prepend array_remove array_replace array_to_string array_upper cardinality trim_array unnest generate_series
	generate_subscripts
	json_array_elements json_array_elements_text json_array_length json_build_array json_build_object json_each json_each_text
	json_extract_path json_extract_path_text json_object json_object_keys json_strip_nulls json_typeof row_to_json to_json
	array_to_json jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object
	jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_keys
	jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set
	jsonb_set_lax jsonb_strip_nulls jsonb_typeof to_jsonb
	host hostmask network netmask masklen broadcast family abbrev inet_merge inet_same_family
	isempty lower_inc lower_inf upper_inc upper_inf range_merge num_nulls num_nonnulls pg_typeof gen_random_uuid
	plainto_tsquery phraseto_tsquery websearch_to_tsquery to_tsquery to_tsvector ts_rank ts_rank_cd ts_headline numnode
	querytree setweight strip tsvector_to_array
	current_date current_time current_timestamp localtime localtimestamp`)
