"""``pipeline sql`` only reads: which statements run and which are refused."""

from __future__ import annotations

import re

import pytest
from pyspark.errors import ParseException
from pyspark.sql import SparkSession

from pipeline.read.functions import FUNCTIONS
from pipeline.read.submit.functions import ALLOWED, WITHOUT_OPTIONS
from pipeline.read.submit.parsed import NotUnderstood, parts_of
from pipeline.read.submit.read_only import NotReadOnly, check_read_only

READS = """
SELECT 1
SELECT a, count(*) FROM commits WHERE x > 1 GROUP BY a HAVING count(*) > 2 ORDER BY 2 DESC LIMIT 10 OFFSET 2
WITH a AS (SELECT 1 x), b AS (SELECT * FROM a) SELECT * FROM b JOIN a USING (x) WHERE x IN (SELECT x FROM a)
WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r
VALUES (1, 'a'), (2, 'b')
TABLE commits
FROM commits SELECT oid
FROM commits |> WHERE a > 1 |> AGGREGATE count(*) GROUP BY a |> ORDER BY 1 |> LIMIT 3
SELECT * FROM commits UNION ALL SELECT * FROM tags INTERSECT SELECT 1 EXCEPT SELECT 2
SELECT * FROM commits TABLESAMPLE (10 PERCENT)
SELECT DISTINCT a FROM commits PIVOT (sum(x) FOR y IN (1, 2))
SELECT * FROM t UNPIVOT (v FOR n IN (a, b))
SELECT a, row_number() OVER w FROM t WINDOW w AS (PARTITION BY b)
SELECT count(*) OVER w FROM t WINDOW v AS (PARTITION BY a), w AS (ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
SELECT * FROM commits LATERAL VIEW explode(parents) p AS q
SELECT * FROM commits, LATERAL (SELECT 1)
SELECT * FROM commits, LATERAL explode(parents)
SELECT * FROM range(10)
SELECT * FROM explode(array(1)) AS t(x)
SELECT * FROM archive.code.commits VERSION AS OF 'night-2026-11-01'
SELECT * FROM archive.code.commits TIMESTAMP AS OF '2026-11-01'
SELECT * FROM code.commits.snapshots
SELECT * FROM archive.code.commits.`tag_night-2026-11-01`
SELECT * FROM Archive.code.commits.branch_fsck_repair
SELECT * FROM commits WITH ('split-size' = '1')
SELECT * FROM archive.results.language_census
SELECT /*+ BROADCAST(t) */ * FROM t
SELECT a FROM t DISTRIBUTE BY a SORT BY b
SELECT a FROM t GROUP BY ROLLUP(a)
SELECT transform(parents, p -> hex(p)), extract(year FROM a), (SELECT max(a) FROM t), a:b, a::int FROM t
SELECT a LIKE ANY ('x'), if(a, b, c), a || b, timestampadd(day, 1, a), current_date, X'00', interval 1 day, * EXCEPT (a)
SELECT trim(both FROM x), first(a) IGNORE NULLS, percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t
SELECT try_cast(a AS int), from_json(a, 'b int'), to_json(b), system.builtin.hex(a), from_xml(a, 'b int') FROM t
SELECT count(DISTINCT a) FILTER (WHERE b) FROM t NATURAL LEFT JOIN u
SELECT 'DELETE FROM commits'
SELECT swhid('blob', oid), line_count(content), language(name, content) FROM contents
SELECT e.name FROM commit_files, trees LATERAL VIEW explode(tree_entries(git_text(content))) t AS e
SHOW TABLES
SHOW TABLES IN archive.code
SHOW TABLE EXTENDED LIKE '*'
SHOW NAMESPACES
SHOW COLUMNS IN commits
SHOW FUNCTIONS
SHOW VIEWS
SHOW VIEWS IN archive.code
SHOW FUNCTIONS IN archive.code
SHOW COLUMNS IN commits IN archive.code
SHOW PROCEDURES
SHOW TBLPROPERTIES archive.code.commits
SHOW PARTITIONS archive.code.commits
SHOW CREATE TABLE archive.code.commits
SHOW CATALOGS
SHOW CURRENT NAMESPACE
DESCRIBE commits
DESC EXTENDED archive.code.commits
DESCRIBE TABLE archive.code.commits url
DESCRIBE FUNCTION hex
DESCRIBE FUNCTION +
DESCRIBE FUNCTION system.builtin.hex
DESCRIBE PROCEDURE archive.system.expire_snapshots
DESCRIBE NAMESPACE archive.code
DESCRIBE QUERY SELECT 1
EXPLAIN EXTENDED SELECT 1
EXPLAIN DESCRIBE commits
"""

DOES_MORE = """
DELETE FROM commits
UPDATE commits SET a = 1
MERGE INTO commits t USING x s ON t.a = s.a WHEN MATCHED THEN DELETE
INSERT INTO x SELECT 1
INSERT OVERWRITE x SELECT 1
INSERT OVERWRITE DIRECTORY '/tmp/x' USING parquet SELECT 1
WITH q AS (SELECT 1) INSERT INTO x SELECT * FROM q
FROM t INSERT INTO x SELECT a INSERT INTO y SELECT b
ALTER TABLE commits DROP TAG `night-2026-11-01`
ALTER TABLE archive.code.commits CREATE BRANCH b
ALTER TABLE archive.code.commits ADD COLUMN x int
ALTER TABLE archive.code.commits SET TBLPROPERTIES ('a' = 'b')
DROP TABLE commits PURGE
DROP NAMESPACE archive.code CASCADE
DROP VIEW commits
TRUNCATE TABLE commits
CALL archive.system.expire_snapshots('code.commits')
CREATE TABLE x AS SELECT 1
CREATE NAMESPACE archive.x
CREATE OR REPLACE TEMP VIEW commits AS SELECT 1
CREATE TEMPORARY FUNCTION f AS 'x.Y' USING JAR '/x.jar'
SET spark.sql.catalog.archive.warehouse = '/elsewhere'
SET
RESET
SET TIME ZONE 'UTC'
ADD JAR '/x.jar'
ADD FILE '/x'
LIST JARS
CACHE TABLE commits
CACHE LAZY TABLE c AS SELECT 1
UNCACHE TABLE commits
CLEAR CACHE
REFRESH TABLE commits
USE code
ANALYZE TABLE commits COMPUTE STATISTICS
LOAD DATA INPATH '/x' INTO TABLE t
MSCK REPAIR TABLE t
COMMENT ON TABLE commits IS 'x'
EXECUTE IMMEDIATE 'DELETE FROM commits'
DECLARE VARIABLE v INT DEFAULT 1
SET VAR v = 2
BEGIN DELETE FROM commits; END
EXPLAIN DELETE FROM commits
EXPLAIN EXPLAIN INSERT INTO x SELECT 1
EXPLAIN CREATE TABLE x AS SELECT 1
SELECT java_method('java.lang.System', 'exit', '1')
SELECT Reflect('a', 'b')
SELECT system.builtin.try_reflect('a', 'b')
SELECT 1 FROM commits WHERE EXISTS (SELECT reflect('a', 'b'))
SELECT * FROM (SELECT 1) WHERE 1 IN (WITH q AS (SELECT reflect('a', 'b')) SELECT * FROM q)
SELECT IDENTIFIER('java_method')('java.lang.System', 'exit', '1')
SELECT transform(parents, p -> reflect('a', hex(p))) FROM commits
SELECT 1 ORDER BY java_method('a', 'b')
SELECT sum(1) OVER (PARTITION BY java_method('a', 'b'))
SELECT * FROM commits LATERAL VIEW explode(array(reflect('a', 'b'))) p AS q
SELECT * FROM explode(array(reflect('a', 'b')))
VALUES (reflect('a', 'b'))
SELECT count(*) OVER w FROM range(1) WINDOW w AS (PARTITION BY java_method('java.lang.System', 'exit', '7'))
SELECT count(*) OVER w FROM range(1) WINDOW w AS (PARTITION BY (SELECT max(value) FROM text.`file:/etc/passwd`))
SELECT count(*) OVER w FROM range(1) WINDOW v AS (PARTITION BY id), w AS (ORDER BY reflect('a', 'b'))
SELECT 1 FROM range(1) |> SELECT 1 WINDOW w AS (PARTITION BY reflect('a', 'b'))
SELECT (SELECT count(*) OVER w FROM range(1) WINDOW w AS (PARTITION BY reflect('a', 'b')))
SELECT * FROM commits TIMESTAMP AS OF reflect('a', 'b')
SELECT * FROM commits TIMESTAMP AS OF (SELECT max(value) FROM text.`file:/etc/passwd`)
SELECT * FROM t PIVOT (max(reflect('a', 'b')) FOR y IN (1, 2))
SELECT /*+ REPARTITION(3, java_method('a', 'b')) */ 1
SELECT count(*) FILTER (WHERE reflect('a', 'b'))
SELECT a FROM t GROUP BY GROUPING SETS ((a), (reflect('a', 'b')))
SELECT xpath_string('<!DOCTYPE a SYSTEM "http://10.0.0.1/x.dtd"><a>1</a>', 'a')
SELECT xpath('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a>1</a>', 'a')
SELECT from_xml('<a><b>1</b></a>', 'b int', map('rowValidationXSDPath', '/etc/passwd'))
SELECT schema_of_xml('<a/>', map('rowValidationXSDPath', '/etc/passwd'))
SELECT from_json('{}', 'a int', map('compression', 'some.Class'))
SELECT from_json('{}', 'a int', options => map('compression', 'some.Class'))
SELECT from_avro(a, '"int"', map('avroSchemaUrl', '/etc/passwd')) FROM t
SELECT from_protobuf(a, 'M', '/etc/passwd') FROM t
SELECT * FROM python_worker_logs()
SELECT a_function_of_a_later_spark(1)
SELECT archive.`..`.f(1)
SELECT archive.system.iceberg_version()
SELECT TRANSFORM(a) USING 'cat' FROM t
FROM t MAP a USING 'cat' AS b
SELECT * FROM parquet.`/etc/passwd`
SELECT * FROM text.`file:///etc/passwd`
SELECT * FROM (SELECT * FROM csv.`/etc/passwd`)
SELECT * FROM json.`/x` VERSION AS OF 1
SELECT * FROM archive.`/elsewhere/table`
SELECT * FROM archive.`x]`.`..`.code.origins
SELECT * FROM archive.`..`.`tables]x`.`..`.tables.code.origins
SELECT * FROM archive.`..`.tables.code.origins
SELECT * FROM archive.`code.`.origins
SELECT * FROM archive.code.`..`
SELECT * FROM `..`
SHOW NAMESPACES IN archive.`../../..`
SHOW NAMESPACES IN archive.`..`.`..`
SHOW NAMESPACES IN `..`
SHOW TABLES IN archive.`..`
SHOW TABLE EXTENDED IN archive.`..` LIKE '*'
SHOW VIEWS IN archive.`..`
SHOW FUNCTIONS IN archive.`..`
SHOW PROCEDURES IN archive.`..`
SHOW COLUMNS IN x IN archive.`..`
SHOW COLUMNS IN archive.`..`.x
SHOW CREATE TABLE archive.`..`.x
SHOW TBLPROPERTIES archive.`..`.x
SHOW PARTITIONS archive.`..`.x
DESCRIBE archive.`..`.x
DESCRIBE archive.`..`.x y
DESCRIBE EXTENDED archive.`..`.x AS JSON
DESCRIBE parquet.`/etc/passwd`
DESCRIBE NAMESPACE archive.`..`
DESCRIBE FUNCTION archive.`..`.f
DESCRIBE PROCEDURE archive.`..`.f
EXPLAIN SHOW TABLES IN archive.`..`
SELECT * FROM IDENTIFIER('text.`/etc/passwd`')
DESCRIBE QUERY SELECT * FROM text.`/etc/passwd`
"""

NO_SQL = """
SELECT a INTO x FROM commits
SELECT 1; DROP TABLE commits
SELECT * FROM (DELETE FROM commits)
"""


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


def test_what_reads_is_let_through(session: SparkSession) -> None:
    for statement in lines(READS):
        check_read_only(session, statement)


def test_whatever_does_more_is_refused(session: SparkSession) -> None:
    let_through = []
    for statement in lines(DOES_MORE):
        try:
            check_read_only(session, statement)
        except NotReadOnly:
            continue
        let_through.append(statement)
    assert let_through == []


def test_it_is_told_what_is_refused(session: SparkSession) -> None:
    with pytest.raises(NotReadOnly, match=r"this one has DeleteFromTable\. Use SELECT"):
        check_read_only(session, "DELETE FROM commits")
    with pytest.raises(NotReadOnly, match=r"this one has the function java_method, which is not known to compute"):
        check_read_only(session, "SELECT java_method('a', 'b')")
    with pytest.raises(NotReadOnly, match=r"this one has options of the function from_xml, which may name files"):
        check_read_only(session, "SELECT from_xml(a, 'b int', map('c', 'd'))")
    with pytest.raises(NotReadOnly, match=r"a table outside it, text\./etc/passwd"):
        check_read_only(session, "SELECT * FROM text.`/etc/passwd`")


def test_what_is_no_sql_is_told_by_spark(session: SparkSession) -> None:
    for statement in lines(NO_SQL):
        with pytest.raises(ParseException):
            check_read_only(session, statement)


def test_what_a_later_spark_brings_is_not_let_through(session: SparkSession) -> None:
    jvm = session._jvm
    assert jvm is not None
    unknown = getattr(jvm, "scala.Some")(getattr(jvm, "java.lang.Object")())
    with pytest.raises(NotUnderstood, match=r"its plan holds something unknown: java\.lang\.Object"):
        list(parts_of(session, unknown))


REFUSED = """
    from_avro from_protobuf java_method python_worker_logs reflect schema_of_avro to_avro to_protobuf try_reflect xpath
    xpath_boolean xpath_double xpath_float xpath_int xpath_long xpath_number xpath_short xpath_string
"""


def test_every_function_of_spark_was_looked_at(session: SparkSession) -> None:
    """A new function is allowed if it only computes from its arguments, otherwise it belongs to the others."""
    state = session._jsparkSession.sessionState()
    found = set()
    for registry in (state.functionRegistry(), state.tableFunctionRegistry()):
        names = registry.listFunction().iterator()
        while names.hasNext():
            found.add(names.next().unquotedString())
    found -= FUNCTIONS  # ours, if this session has them
    assert {name for name in found if re.fullmatch(r"\w+", name)} == ALLOWED | set(REFUSED.split())
    assert WITHOUT_OPTIONS.keys() == {name for name in ALLOWED if re.search(r"_(csv|json|xml)$", name)} - {
        "parse_json",
        "try_parse_json",
    }


def test_a_statement_does_not_show_the_environment(session: SparkSession) -> None:
    told = session.sql("SELECT '${env:PATH}${system:user.name}${spark.app.name}' AS told").collect()
    assert [row.told for row in told] == ["${env:PATH}${system:user.name}${spark.app.name}"]
