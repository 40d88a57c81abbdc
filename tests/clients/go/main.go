// Ask a file of queries with clickhouse-go over HTTP and print the answers: see reads.py for the form of both.
//
//	reads HOST PORT USER PASSWORD DATABASE QUERIES
package main

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

var escape = strings.NewReplacer("\\", "\\\\", "\t", "\\t", "\n", "\\n")

func main() {
	given := os.Args[1:]
	address := url.URL{
		Scheme: "http",
		User:   url.UserPassword(given[2], given[3]),
		Host:   net.JoinHostPort(given[0], given[1]),
		Path:   given[4],
	}
	db, err := sql.Open("clickhouse", address.String())
	if err != nil {
		panic(err)
	}
	defer db.Close()
	queries, err := os.ReadFile(given[5])
	if err != nil {
		panic(err)
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, line := range strings.Split(strings.TrimSpace(string(queries)), "\n") {
		query, org, bound := strings.Cut(line, "\t")
		fmt.Fprintf(out, "?\t%s\n", escape.Replace(query))
		var values []any
		if bound {
			values = append(values, sql.Named("org", org))
		}
		if err := ask(db, out, query, values); err != nil {
			var known *clickhouse.Exception
			if errors.As(err, &known) {
				fmt.Fprintf(out, "!\t%d\n", known.Code)
			} else {
				fmt.Fprintf(out, "!\tunknown\n")
			}
		}
	}
}

func ask(db *sql.DB, out *bufio.Writer, query string, bound []any) error {
	rows, err := db.Query(query, bound...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	out.WriteString(":")
	for _, column := range columns {
		out.WriteString("\t" + column.Name())
	}
	out.WriteString("\n")
	values, places := make([]any, len(columns)), make([]any, len(columns))
	for place := range values {
		places[place] = &values[place]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		out.WriteString("=")
		for place, value := range values {
			out.WriteString("\t" + shown(value, columns[place].DatabaseTypeName()))
		}
		out.WriteString("\n")
	}
	return rows.Err()
}

func shown(value any, kind string) string {
	switch value := value.(type) {
	case nil:
		return "\\N"
	case big.Int:
		return value.String()
	case time.Time:
		if kind == "Date" {
			return value.Format(time.DateOnly)
		}
		return value.UTC().Format("2006-01-02 15:04:05.000000")
	case string:
		if strings.HasPrefix(kind, "Decimal") && strings.Contains(value, ".") {
			return strings.TrimRight(strings.TrimRight(value, "0"), ".")
		}
		return escape.Replace(value)
	default:
		return fmt.Sprint(value)
	}
}
