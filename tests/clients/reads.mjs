// Ask a file of queries with @clickhouse/client and print the answers: see reads.py for the form of both.
//
//     node reads.mjs HOST PORT USER PASSWORD DATABASE QUERIES

import { readFileSync } from 'node:fs'
import { ClickHouseLogLevel, createClient } from '@clickhouse/client'

const [host, port, username, password, database, queries] = process.argv.slice(2)
const client = createClient({
  url: `http://${host}:${port}`,
  username,
  password,
  database,
  log: { level: ClickHouseLogLevel.OFF },
  // A JavaScript number holds 53 bits: without these two the last digits of a count or an amount are lost.
  clickhouse_settings: { output_format_json_quote_64bit_integers: 1, output_format_json_quote_decimals: 1 },
})

const said = []
const say = (mark, fields) => said.push(`${mark}\t${fields.join('\t')}\n`)
const flush = () => process.stdout.write(said.splice(0).join(''))
const escape = (text) => text.replaceAll('\\', '\\\\').replaceAll('\t', '\\t').replaceAll('\n', '\\n')

function shown(value, type) {
  if (value === null) return '\\N'
  if (type.includes('DateTime')) return value.includes('.') ? value : `${value}.000000`
  if (type.includes('Decimal') && value.includes('.')) return value.replace(/\.?0+$/, '')
  return escape(String(value))
}

for (const line of readFileSync(queries, 'utf8').split('\n').filter(Boolean)) {
  const [query, org] = line.split('\t')
  say('?', [escape(query)])
  try {
    const answer = await client.query({
      query,
      query_params: org === undefined ? {} : { org },
      format: 'JSONCompactEachRowWithNamesAndTypes',
    })
    let names, types
    for await (const rows of answer.stream()) {
      for (const row of rows) {
        const values = row.json()
        if (names === undefined) say(':', (names = values))
        else if (types === undefined) types = values
        else say('=', values.map((value, place) => shown(value, types[place])))
      }
      flush()
    }
  } catch (error) {
    say('!', [error.code ?? 'unknown'])
  }
  flush()
}
await client.close()
