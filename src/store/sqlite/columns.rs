//! Columns that are read together: written once, as the list of a `SELECT` and as the names of its values.
//!
//! A name is its place in the list, known when the program is built: nothing is looked up for a row.

/// Declares an enum of columns. A column whose value is no column of the table has its expression beside it. With a `from`
/// it has the whole statement as `SQL`, else the list alone as `LIST`.
macro_rules! columns {
    (@text $first:ident $(= $sql:literal)?, $($column:ident $(= $other:literal)?,)*) => {
        concat!(
            $crate::store::sqlite::columns::sql!($first $($sql)?)
            $(, ", ", $crate::store::sqlite::columns::sql!($column $($other)?))*
        )
    };
    (@names $(#[$doc:meta])* $visible:vis enum $name:ident { $($column:ident $(= $sql:literal)?,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        #[allow(non_camel_case_types, reason = "named as in the table")]
        $visible enum $name {
            $($column,)*
        }

        impl $name {
            /// The value in a row of the statement that this list stands in.
            $visible fn of<T: rusqlite::types::FromSql>(self, row: &rusqlite::Row<'_>) -> rusqlite::Result<T> {
                row.get(self as usize)
            }
        }
    };
    ($(#[$doc:meta])* $visible:vis enum $name:ident from $from:literal { $($columns:tt)* }) => {
        $crate::store::sqlite::columns::columns!(@names $(#[$doc])* $visible enum $name { $($columns)* });

        impl $name {
            /// The statement.
            $visible const SQL: &str =
                concat!("SELECT ", $crate::store::sqlite::columns::columns!(@text $($columns)*), " FROM ", $from);
        }
    };
    ($(#[$doc:meta])* $visible:vis enum $name:ident { $($columns:tt)* }) => {
        $crate::store::sqlite::columns::columns!(@names $(#[$doc])* $visible enum $name { $($columns)* });

        impl $name {
            /// What stands between `SELECT` and `FROM`.
            $visible const LIST: &str = $crate::store::sqlite::columns::columns!(@text $($columns)*);
        }
    };
}

macro_rules! sql {
    ($column:ident) => {
        stringify!($column)
    };
    ($column:ident $sql:literal) => {
        $sql
    };
}

pub(super) use {columns, sql};

#[cfg(test)]
mod tests {
    columns! {
        enum Sample from "(SELECT 3 AS last, 2 AS second, 1 AS first)" {
            first,
            second = "(SELECT 7)",
            last,
        }
    }

    #[test]
    fn a_name_gives_the_value_that_was_selected_for_it() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let read = |row: &rusqlite::Row<'_>| {
            Ok([Sample::first.of::<i64>(row)?, Sample::second.of(row)?, Sample::last.of(row)?])
        };
        assert_eq!(connection.query_row(Sample::SQL, [], read).unwrap(), [1, 7, 3]);
    }
}
