// Ask a file of queries with ClickHouse's JDBC driver and print the answers: see reads.py for the form of both.
//
//     java Reads HOST PORT USER PASSWORD DATABASE QUERIES

import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Properties;

public class Reads {
    private static final DateTimeFormatter INSTANT = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss.SSSSSS");

    public static void main(String[] given) throws Exception {
        Properties login = new Properties();
        login.setProperty("user", given[2]);
        login.setProperty("password", given[3]);
        String url = "jdbc:clickhouse://" + given[0] + ":" + given[1] + "/" + given[4];
        PrintWriter out = new PrintWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8));
        try (Connection connection = DriverManager.getConnection(url, login)) {
            for (String line : Files.readAllLines(Path.of(given[5]))) {
                String[] parts = line.split("\t");
                out.println("?\t" + escaped(parts[0]));
                try {
                    if (parts[0].equals("@tables")) {
                        // What a tool such as DBeaver asks first, to draw its tree.
                        print(connection.getMetaData().getTables(null, given[4], "%", null), out);
                    } else if (parts[0].startsWith("@columns ")) {
                        String table = parts[0].substring("@columns ".length());
                        print(connection.getMetaData().getColumns(null, given[4], table, "%"), out);
                    } else {
                        ask(connection, parts, out);
                    }
                } catch (SQLException error) {
                    out.println("!\t" + error.getErrorCode());
                }
                out.flush();
            }
        }
    }

    private static void ask(Connection connection, String[] parts, PrintWriter out) throws SQLException {
        // JDBC's own way to bind a value is a question mark.
        String sql = parts[0].replace("{org:UInt64}", "?");
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            if (parts.length > 1) {
                statement.setLong(1, Long.parseLong(parts[1]));
            }
            print(statement.executeQuery(), out);
        }
    }

    private static void print(ResultSet rows, PrintWriter out) throws SQLException {
        try (rows) {
            ResultSetMetaData about = rows.getMetaData();
            StringBuilder line = new StringBuilder(":");
            for (int place = 1; place <= about.getColumnCount(); place++) {
                line.append('\t').append(about.getColumnName(place));
            }
            out.println(line);
            while (rows.next()) {
                line = new StringBuilder("=");
                for (int place = 1; place <= about.getColumnCount(); place++) {
                    line.append('\t').append(shown(rows, place, about.getColumnTypeName(place)));
                }
                out.println(line);
            }
        }
    }

    private static String shown(ResultSet rows, int place, String type) throws SQLException {
        Object value = rows.getObject(place);
        if (value == null) {
            return "\\N";
        }
        if (type.contains("DateTime")) {
            // A Timestamp would print in the zone of this machine.
            return rows.getObject(place, ZonedDateTime.class).withZoneSameInstant(ZoneOffset.UTC).format(INSTANT);
        }
        if (value instanceof BigDecimal number) {
            return number.signum() == 0 ? "0" : number.stripTrailingZeros().toPlainString();
        }
        return escaped(value.toString());
    }

    private static String escaped(String text) {
        return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n");
    }
}
