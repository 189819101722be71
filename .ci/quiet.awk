# go test -v says which tests were skipped and why, which go test alone does not,
# and thousands of lines more. This keeps a line for each package, the skips with
# their reasons, and everything of a package that failed.
#
# In -v mode the lines of a package stand together and end with its verdict.

/^(ok|---|\?) *\t/ || /^\t.*coverage: / {
	for (i = 0; i < n; i++)
		if (line[i] ~ /SKIP/)
			print line[i]
	n = 0
	print
	fflush()
	next
}

/^FAIL\t/ {
	for (i = 0; i < n; i++)
		if (line[i] !~ /^=== (RUN|PAUSE|CONT|NAME)/ && line[i] !~ /^ *--- PASS/)
			print line[i]
	n = 0
	print
	fflush()
	next
}

{ line[n++] = $0 }

END {
	for (i = 0; i < n; i++)
		if (line[i] != "PASS" && line[i] !~ /^FAIL$/)
			print line[i]
}
