"""What `hermes check` says, in Vietnamese and English: the steps' names, what is found, and what to do about it.

`found_…` and `remedy_…` belong to the causes of `app.domain.diagnosis`; docs/reference/check.md lists them all.
"""

CHECK_TEXTS: dict[str, tuple[str, str]] = {
    # The steps.
    "check_configuration": ("Cấu hình", "Configuration"),
    "check_database": ("Cơ sở dữ liệu", "Database"),
    "check_ledger": ("Sổ gửi (bảng hermes_…)", "Ledger (tables hermes_…)"),
    "check_source": ("Bảng nguồn", "Source tables"),
    "check_ledger_writes": ("Quyền ghi sổ gửi", "Writing to the ledger"),
    "check_source_writes": ("Quyền ghi kết quả về nguồn", "Writing back to the source"),
    "check_collation": ("Quy tắc so sánh chữ (collation)", "Collation"),
    "check_indexes": ("Chỉ mục", "Indexes"),
    "check_isolation": ("READ_COMMITTED_SNAPSHOT", "READ_COMMITTED_SNAPSHOT"),
    "check_broker": ("Hàng đợi (Redis)", "Broker (Redis)"),
    "check_broker_keeping": ("Redis giữ thông điệp", "Redis keeps messages"),
    "check_log_store": ("Kho nhật ký (MongoDB)", "Log store (MongoDB)"),
    "check_partner": ("Đối tác", "Partner"),
    "check_clock": ("Đồng hồ", "Clocks"),
    # Any step.
    "found_blocked": ("chưa xem được: cần {need}", "not looked at: needs {need}"),
    "found_untold": ("máy chủ này không cho biết", "cannot be told here"),
    "found_sql_server_only": ("chỉ có ở SQL Server", "only SQL Server has it"),
    "found_unexpected": ("lỗi ngoài dự kiến: {detail}", "an unexpected error: {detail}"),
    "remedy_unexpected": (
        "Xem thông báo lỗi; nếu không rõ, gửi dòng này cho người phát triển.",
        "See what the error says; if that does not help, send this line to the developers.",
    ),
    # TLS, whoever the server is.
    "found_tls_authority": (
        "{server}: chứng chỉ TLS do một nơi cấp không được tin cậy ({detail})",
        "{server}: its TLS certificate is from an authority that is not trusted ({detail})",
    ),
    "remedy_tls_authority": (
        "Cài chứng chỉ CA của máy chủ đó trên máy này (Redis: REDIS_TLS_CA; MongoDB: tlsCAFile trong MONGO_URI; SQL "
        "Server: MSSQL_TRUST_SERVER_CERTIFICATE=yes nếu tự ký).",
        "Install that server's CA on this machine (Redis: REDIS_TLS_CA; MongoDB: tlsCAFile in MONGO_URI; SQL Server: "
        "MSSQL_TRUST_SERVER_CERTIFICATE=yes if self-signed).",
    ),
    "found_tls_expired": (
        "{server}: chứng chỉ TLS hết hạn hoặc chưa có hiệu lực ({detail})",
        "{server}: its TLS certificate has expired or is not valid yet ({detail})",
    ),
    "remedy_tls_expired": (
        "Người quản trị máy chủ đó phải thay chứng chỉ; kiểm tra cả đồng hồ của máy này.",
        "Whoever runs that server must renew it; look at this machine's clock as well.",
    ),
    "found_tls_name": (
        "{server}: chứng chỉ TLS mang tên khác với địa chỉ đã đặt ({detail})",
        "{server}: its TLS certificate is for another name than the configured address ({detail})",
    ),
    "remedy_tls_name": (
        "Dùng đúng tên máy ghi trong chứng chỉ, hoặc cấp chứng chỉ có tên này.",
        "Use the host name that the certificate has, or have one made for this name.",
    ),
    "found_tls_client": (
        "{server} đòi chứng chỉ của máy khách ({detail})",
        "{server} wants a client certificate ({detail})",
    ),
    "remedy_tls_client": (
        "Redis: đặt REDIS_TLS_CERT và REDIS_TLS_KEY; MongoDB: tlsCertificateKeyFile trong MONGO_URI.",
        "Redis: set REDIS_TLS_CERT and REDIS_TLS_KEY; MongoDB: tlsCertificateKeyFile in MONGO_URI.",
    ),
    "found_tls_not_spoken": (
        "{server} không dùng TLS ở cổng này ({detail})",
        "{server} does not speak TLS on this port ({detail})",
    ),
    "remedy_tls_not_spoken": (
        "Dùng cổng TLS của máy chủ, hoặc bỏ TLS (xem {setting}).",
        "Use the server's TLS port, or go without TLS (see {setting}).",
    ),
    "found_tls_file": (
        "không đọc được tệp chứng chỉ hoặc khóa ({detail})",
        "a certificate or key file cannot be read ({detail})",
    ),
    "remedy_tls_file": (
        "Kiểm tra đường dẫn và quyền đọc của REDIS_TLS_CA, REDIS_TLS_CERT, REDIS_TLS_KEY.",
        "Check the paths in REDIS_TLS_CA, REDIS_TLS_CERT, REDIS_TLS_KEY, and that they may be read.",
    ),
    # Configuration.
    "found_configuration": ("PARTNER_PROFILE={profile}", "PARTNER_PROFILE={profile}"),
    "found_configuration_wrong": ("{detail}", "{detail}"),
    "remedy_configuration_wrong": ("Sửa biến môi trường hoặc tệp .env.", "Correct the environment or .env."),
    # Database.
    "found_database": ("{address}", "{address}"),
    "found_db_password": (
        "SQL Server từ chối đăng nhập: sai tên hoặc mật khẩu, hoặc login bị khóa ({detail})",
        "SQL Server refuses the login: wrong user or password, or the login is disabled ({detail})",
    ),
    "remedy_db_password": (
        "Sửa MSSQL_USER, MSSQL_PASSWORD (hoặc SOURCE_DATABASE_URL).",
        "Correct MSSQL_USER, MSSQL_PASSWORD (or SOURCE_DATABASE_URL).",
    ),
    "found_db_password_expired": (
        "mật khẩu SQL Server đã hết hạn hoặc phải đổi ({detail})",
        "the SQL Server password has expired or must be changed ({detail})",
    ),
    "remedy_db_password_expired": (
        "Nhờ DBA đặt mật khẩu mới (CHECK_EXPIRATION = OFF cho login của chương trình), rồi sửa MSSQL_PASSWORD.",
        "Have a DBA set a new one (CHECK_EXPIRATION = OFF for a program's login), then correct MSSQL_PASSWORD.",
    ),
    "found_db_name": (
        "không mở được cơ sở dữ liệu: sai tên, hoặc login không có quyền vào ({detail})",
        "the database cannot be opened: a wrong name, or the login has no user in it ({detail})",
    ),
    "remedy_db_name": (
        "Sửa MSSQL_DATABASE, hoặc tạo user cho login trong cơ sở dữ liệu đó (CREATE USER … FOR LOGIN …).",
        "Correct MSSQL_DATABASE, or create a user for the login there (CREATE USER … FOR LOGIN …).",
    ),
    "found_db_unreachable": ("không kết nối được ({detail})", "cannot be reached ({detail})"),
    "remedy_db_unreachable": (
        "Kiểm tra MSSQL_SERVER (tên máy, cổng), tường lửa, và SQL Server có bật TCP/IP không.",
        "Check MSSQL_SERVER (host, port), the firewall, and that SQL Server listens on TCP/IP.",
    ),
    "found_db_file": ("không mở được tệp SQLite ({detail})", "the SQLite file cannot be opened ({detail})"),
    "remedy_db_file": (
        "Kiểm tra đường dẫn trong SOURCE_DATABASE_URL và quyền đọc ghi thư mục đó.",
        "Check the path in SOURCE_DATABASE_URL, and that its folder can be read and written.",
    ),
    "found_db_driver": ("{detail}", "{detail}"),
    "remedy_db_driver": (
        "Cài thư viện mà driver cần, hoặc để trống MSSQL_DRIVER.",
        "Install what the driver needs, or leave MSSQL_DRIVER empty.",
    ),
    "found_db_readonly": ("cơ sở dữ liệu chỉ cho đọc ({detail})", "the database is read-only ({detail})"),
    "remedy_db_readonly": (
        "Cho phép ghi vào cơ sở dữ liệu (quyền của tệp, hoặc không dùng bản sao chỉ đọc).",
        "Let it be written to (the file's permissions, or not a read-only replica).",
    ),
    "found_db_other": ("{detail}", "{detail}"),
    "remedy_db_other": (
        "Kiểm tra MSSQL_SERVER, MSSQL_DATABASE, MSSQL_USER, MSSQL_PASSWORD (hoặc SOURCE_DATABASE_URL) và tường lửa.",
        "Check MSSQL_SERVER, MSSQL_DATABASE, MSSQL_USER, MSSQL_PASSWORD (or SOURCE_DATABASE_URL) and the firewall.",
    ),
    # Ledger.
    "found_ledger": ("phiên bản {version}", "version {version}"),
    "found_ledger_missing": (
        "cơ sở dữ liệu này chưa có bảng của sổ gửi, hoặc đây không phải cơ sở dữ liệu cần dùng",
        "this database does not have the ledger's tables yet, or it is the wrong database",
    ),
    "remedy_ledger_missing": ("Chạy: hermes db upgrade", "Run: hermes db upgrade"),
    "found_ledger_old": (
        "sổ gửi có phiên bản {found}, chương trình cần {wanted}",
        "the ledger has version {found}, this program needs {wanted}",
    ),
    "remedy_ledger_old": ("Chạy: hermes db upgrade", "Run: hermes db upgrade"),
    "found_ledger_new": (
        "sổ gửi có phiên bản {found}, mới hơn chương trình ({wanted})",
        "the ledger has version {found}, which is newer than this program ({wanted})",
    ),
    "remedy_ledger_new": ("Nâng cấp chương trình Hermes.", "Upgrade Hermes."),
    "found_ledger_table": (
        "không có bảng {table}, hoặc không có quyền đọc",
        "no table {table}, or no right to read it",
    ),
    "remedy_ledger_table": (
        "Cấp quyền đọc cho user của Hermes, hoặc nhờ DBA tạo lại bảng từ: hermes db script",
        "Grant its user the right, or have a DBA make it anew from: hermes db script",
    ),
    "found_ledger_column": ("{table} không có cột {columns}", "{table} lacks the column(s) {columns}"),
    "remedy_ledger_column": (
        "Nhờ DBA thêm lại cột theo: hermes db script",
        "Have a DBA add it again as in: hermes db script",
    ),
    # Source.
    "found_source": ("{tables}", "{tables}"),
    "found_source_without": (
        "{tables}; không có cột tùy chọn {columns}",
        "{tables}; without the optional column(s) {columns}",
    ),
    "found_source_table": (
        "không có bảng hay view {table}, hoặc không có quyền đọc",
        "no table or view {table}, or no right to read it",
    ),
    "remedy_source_table": (
        "Trỏ MSSQL_DATABASE đến đúng cơ sở dữ liệu, cấp quyền SELECT, hoặc tạo view tên này trong schema mặc định.",
        "Point MSSQL_DATABASE to the right database, grant SELECT, or make a view of this name in the default schema.",
    ),
    "found_source_column": ("{table} không có cột {columns}", "{table} lacks the column(s) {columns}"),
    "remedy_source_column": (
        "Thêm cột, hoặc dùng view có đủ cột (CAST(NULL AS …) cho cột không có).",
        "Add it, or use a view that has it (CAST(NULL AS …) for what there is not).",
    ),
    "found_source_type": (
        "{table}.{column} có kiểu {found}, Hermes cần {expected}",
        "{table}.{column} is {found}, Hermes needs {expected}",
    ),
    "remedy_source_type": (
        "Đổi kiểu cột, hoặc CAST cột này thành {expected} trong view.",
        "Change the column's type, or CAST it to {expected} in a view.",
    ),
    "found_type_text_date": (
        "{table}.{column} có kiểu {found}: chỉ đọc được ngày viết dạng 2026-11-20",
        "{table}.{column} is {found}: only dates written as 2026-11-20 can be read",
    ),
    "remedy_type_text_date": (
        "Nếu ngày viết dạng khác: CONVERT sang {expected} trong view.",
        "If they are written otherwise: CONVERT to {expected} in a view.",
    ),
    "found_type_not_unicode": (
        "{table}.{column} có kiểu {found}, không phải {expected}: chữ tiếng Việt có thể hỏng, chỉ mục có thể vô dụng",
        "{table}.{column} is {found}, not {expected}: Vietnamese letters may be lost, an index may not be used",
    ),
    "remedy_type_not_unicode": ("Đổi kiểu cột thành {expected}.", "Change the column's type to {expected}."),
    # Writing.
    "found_writes": ("{tables}: ghi được (đã thử và hoàn tác)", "{tables}: can be written (tried and rolled back)"),
    "found_write_denied": ("không có quyền ghi vào {table} ({detail})", "no right to write to {table} ({detail})"),
    "remedy_write_denied": (
        "Nhờ DBA chạy các lệnh GRANT trong docs/howto/use-sql-server.vi.md cho user của Hermes.",
        "Have a DBA run the GRANTs of docs/howto/use-sql-server.md for Hermes' user.",
    ),
    "found_write_readonly": (
        "{table}: cơ sở dữ liệu chỉ cho đọc ({detail})",
        "{table}: the database is read-only ({detail})",
    ),
    "remedy_write_readonly": (
        "Cho phép ghi vào cơ sở dữ liệu (quyền của tệp, hoặc không dùng bản sao chỉ đọc).",
        "Let it be written to (the file's permissions, or not a read-only replica).",
    ),
    "found_write_view": (
        "{table} là view không ghi được ({detail})",
        "{table} is a view that cannot be written to ({detail})",
    ),
    "remedy_write_view": (
        "Thêm trigger INSTEAD OF UPDATE cho view, như trong docs/howto/fit-your-schema.vi.md.",
        "Give the view an INSTEAD OF UPDATE trigger, as in docs/howto/fit-your-schema.md.",
    ),
    "found_write_lost": (
        "{table}: status_phieu vừa ghi không đọc lại được qua view",
        "{table}: the view does not show the status_phieu that was just written",
    ),
    "remedy_write_lost": (
        "Sửa trigger INSTEAD OF hoặc view: giá trị 1, 2, 3 phải đọc lại được, phiếu có 2 phải còn trong view.",
        "Correct the INSTEAD OF trigger or the view: 1, 2 and 3 must be read back, and a row with 2 must stay in it.",
    ),
    "found_write_busy": (
        "{table}: chưa thử ghi được, đang bị chương trình khác khóa ({detail})",
        "{table}: could not be tried, somebody else holds a lock ({detail})",
    ),
    "remedy_write_busy": ("Chạy lại sau ít phút.", "Run it again in a few minutes."),
    "found_write_refused": ("{table}: không ghi được ({detail})", "{table}: refuses what is written ({detail})"),
    "remedy_write_refused": (
        "Kiểm tra ràng buộc và trigger của {table}.",
        "Look at the constraints and triggers of {table}.",
    ),
    # Comparing, finding, waiting.
    "found_collation": ("mã phiếu ở nguồn và sổ gửi so sánh được", "codes of source and ledger can be compared"),
    "found_collation_conflict": (
        "{column} có collation khác hermes_delivery.code: SQL Server không so sánh được hai cột",
        "{column} has another collation than hermes_delivery.code: SQL Server cannot compare them",
    ),
    "remedy_collation_conflict": (
        "Tạo sổ gửi với collation của {column} (sửa kết quả của hermes db script), hoặc dùng view có COLLATE.",
        "Create the ledger with {column}'s collation (edit what hermes db script prints), or a view with COLLATE.",
    ),
    "found_indexes": ("đủ", "all there"),
    "found_index_missing": (
        "không có chỉ mục bắt đầu bằng {columns}: mỗi lần quét phải đọc cả bảng",
        "no index begins with {columns}: every scan reads the whole table",
    ),
    "remedy_index_missing": (
        "Nhờ DBA tạo chỉ mục; in lệnh bằng: hermes db script --indexes",
        "Have a DBA create them; print the statements with: hermes db script --indexes",
    ),
    "found_ledger_index_missing": ("sổ gửi thiếu chỉ mục {indexes}", "the ledger lacks the indexes {indexes}"),
    "remedy_ledger_index_missing": (
        "Nhờ DBA tạo lại bằng các lệnh CREATE INDEX của: hermes db script",
        "Have a DBA create them again with the CREATE INDEX statements of: hermes db script",
    ),
    "found_isolation_on": ("bật: đọc không chờ ghi", "on: who reads does not wait for who writes"),
    "found_isolation_off": (
        "tắt: lần quét có thể phải chờ giao dịch đang ghi; Hermes vẫn chạy đúng",
        "off: scans may wait for transactions that write; Hermes is as correct",
    ),
    # Redis.
    "found_redis": ("Redis {version}", "Redis {version}"),
    "found_redis_old": (
        "Redis {version} cũ hơn bản đã thử ({needed})",
        "Redis {version} is older than what is tested ({needed})",
    ),
    "remedy_redis_old": ("Nâng cấp Redis lên {needed} trở lên.", "Upgrade Redis to {needed} or later."),
    "found_broker_embedded": (
        "REDIS_HOST không đặt: chỉ dùng được hermes up và hermes sync",
        "REDIS_HOST is not set: only hermes up and hermes sync can be used",
    ),
    "found_redis_password_missing": ("Redis đòi mật khẩu", "Redis wants a password"),
    "remedy_redis_password_missing": (
        "Đặt REDIS_PASSWORD (và REDIS_USERNAME nếu dùng ACL), hoặc ghi vào REDIS_URL.",
        "Set REDIS_PASSWORD (and REDIS_USERNAME for an ACL user), or put it into REDIS_URL.",
    ),
    "found_redis_password_wrong": ("Redis từ chối tên hoặc mật khẩu", "Redis refuses user or password"),
    "remedy_redis_password_wrong": (
        "Sửa REDIS_USERNAME, REDIS_PASSWORD (hoặc REDIS_URL).",
        "Correct REDIS_USERNAME, REDIS_PASSWORD (or REDIS_URL).",
    ),
    "found_redis_commands": (
        "user ACL của Redis không được dùng: {commands}",
        "the Redis ACL user may not do: {commands}",
    ),
    "remedy_redis_commands": (
        "Cấp quyền như trong docs/howto/use-redis.vi.md.",
        "Grant what docs/howto/use-redis.md lists.",
    ),
    "found_redis_replica": ("đây là bản sao Redis chỉ đọc", "this Redis is a replica that cannot be written to"),
    "remedy_redis_replica": (
        "Trỏ REDIS_HOST đến máy chính, hoặc dùng REDIS_SENTINELS.",
        "Point REDIS_HOST to the master, or use REDIS_SENTINELS.",
    ),
    "found_redis_disk": (
        "Redis không ghi được ra đĩa nên từ chối lệnh ghi",
        "Redis cannot save to disk and refuses writes",
    ),
    "remedy_redis_disk": (
        "Giải phóng đĩa của Redis và xem nhật ký của Redis (MISCONF).",
        "Free Redis' disk and see its log (MISCONF).",
    ),
    "found_redis_full": ("Redis hết bộ nhớ (maxmemory)", "Redis has no memory left (maxmemory)"),
    "remedy_redis_full": (
        "Tăng maxmemory, hoặc xóa dữ liệu không phải của Hermes.",
        "Raise maxmemory, or remove what is not Hermes'.",
    ),
    "found_redis_loading": ("Redis đang nạp dữ liệu", "Redis is loading its data"),
    "remedy_redis_loading": ("Chờ ít phút rồi chạy lại.", "Wait a little and run it again."),
    "found_redis_db": ("Redis không có database số này", "Redis has no database of this number"),
    "remedy_redis_db": ("Đặt REDIS_DB nhỏ hơn (thường 0 đến 15).", "Set a smaller REDIS_DB (usually 0 to 15)."),
    "found_redis_master": (
        "không Sentinel nào biết máy chính {master} ({detail})",
        "no Sentinel knows the master {master} ({detail})",
    ),
    "remedy_redis_master": (
        "Kiểm tra REDIS_SENTINELS, REDIS_SENTINEL_MASTER, REDIS_SENTINEL_PASSWORD.",
        "Check REDIS_SENTINELS, REDIS_SENTINEL_MASTER, REDIS_SENTINEL_PASSWORD.",
    ),
    "found_redis_unreachable": ("không kết nối được Redis ({detail})", "Redis cannot be reached ({detail})"),
    "remedy_redis_unreachable": (
        "Kiểm tra REDIS_HOST, REDIS_PORT, tường lửa, và Redis có đang chạy không.",
        "Check REDIS_HOST, REDIS_PORT, the firewall, and that Redis runs.",
    ),
    "found_redis_not_redis": (
        "cổng này ngắt kết nối hoặc không phải Redis ({detail})",
        "this port hangs up or is not Redis ({detail})",
    ),
    "remedy_redis_not_redis": (
        "Kiểm tra REDIS_PORT; nếu Redis dùng TLS, đặt REDIS_TLS=yes.",
        "Check REDIS_PORT; if Redis uses TLS, set REDIS_TLS=yes.",
    ),
    "found_redis_other": ("{detail}", "{detail}"),
    "remedy_redis_other": (
        "Kiểm tra các biến REDIS_… và nhật ký của Redis.",
        "Check the REDIS_… settings and Redis' log.",
    ),
    "found_redis_keeps": ("maxmemory-policy {policy}, có lưu ra đĩa", "maxmemory-policy {policy}, saved to disk"),
    "found_redis_evicts": (
        "maxmemory-policy là {policy}: khi thiếu bộ nhớ Redis xóa cả hàng đợi, phiếu bị gửi chậm",
        "maxmemory-policy is {policy}: short of memory, Redis drops whole queues and documents are late",
    ),
    "remedy_redis_evicts": (
        "Đặt maxmemory-policy noeviction trong redis.conf.",
        "Set maxmemory-policy noeviction in redis.conf.",
    ),
    "found_redis_forgets": (
        "Redis không lưu ra đĩa: khởi động lại là mất thông điệp, phiếu bị gửi chậm",
        "Redis saves nothing to disk: a restart loses its messages and documents are late",
    ),
    "remedy_redis_forgets": ("Đặt appendonly yes trong redis.conf.", "Set appendonly yes in redis.conf."),
    # MongoDB.
    "found_mongo": ("{collection}, giữ {days} ngày", "{collection}, kept for {days} days"),
    "found_log_store_sql": (
        "MONGO_URI không đặt: nhật ký nằm trong SQL",
        "MONGO_URI is not set: the log stays in SQL",
    ),
    "found_mongo_password": ("MongoDB từ chối tên hoặc mật khẩu", "MongoDB refuses user or password"),
    "remedy_mongo_password": (
        "Sửa MONGO_URI (tên, mật khẩu, authSource; ký tự đặc biệt viết dạng %40).",
        "Correct MONGO_URI (user, password, authSource; special characters as %40).",
    ),
    "found_mongo_login_missing": ("MongoDB đòi đăng nhập", "MongoDB wants a login"),
    "remedy_mongo_login_missing": (
        "Ghi tên và mật khẩu vào MONGO_URI: mongodb://user:password@host:27017/?authSource=admin",
        "Put user and password into MONGO_URI: mongodb://user:password@host:27017/?authSource=admin",
    ),
    "found_mongo_rights": (
        "user MongoDB không có quyền ghi vào {database} ({detail})",
        "the MongoDB user may not write to {database} ({detail})",
    ),
    "remedy_mongo_rights": (
        "Cấp quyền readWrite trên {database} cho user trong MONGO_URI.",
        "Grant the user of MONGO_URI the role readWrite on {database}.",
    ),
    "found_mongo_uri": ("MONGO_URI không dùng được ({detail})", "MONGO_URI cannot be used ({detail})"),
    "remedy_mongo_uri": (
        "Sửa MONGO_URI; w=0 thì không được: nhật ký có thể mất.",
        "Correct MONGO_URI; w=0 is refused: log rows could be lost.",
    ),
    "found_mongo_primary": (
        "replica set của MongoDB không có máy chính ({detail})",
        "MongoDB's replica set has no primary ({detail})",
    ),
    "remedy_mongo_primary": (
        "Kiểm tra replicaSet và các máy trong MONGO_URI, rs.status(). Trong lúc đó nhật ký được giữ trong SQL.",
        "Check replicaSet and the hosts in MONGO_URI, and rs.status(). Until then the log is kept in SQL.",
    ),
    "found_mongo_unreachable": ("không kết nối được MongoDB ({detail})", "MongoDB cannot be reached ({detail})"),
    "remedy_mongo_unreachable": (
        "Kiểm tra MONGO_URI và MongoDB. Trong lúc đó nhật ký được giữ trong SQL, không mất dòng nào.",
        "Check MONGO_URI and MongoDB. Until then the log is kept in SQL; no line is lost.",
    ),
    "found_mongo_other": ("{detail}", "{detail}"),
    "remedy_mongo_other": (
        "Kiểm tra MONGO_URI và MongoDB. Trong lúc đó nhật ký được giữ trong SQL, không mất dòng nào.",
        "Check MONGO_URI and MongoDB. Until then the log is kept in SQL; no line is lost.",
    ),
    "found_mongo_retention": (
        "nhật ký được giữ {kept} ngày, LOG_RETENTION_DAYS là {days}",
        "log rows are kept for {kept} days, LOG_RETENTION_DAYS is {days}",
    ),
    "remedy_mongo_retention": (
        "Xóa chỉ mục TTL trên started_at rồi khởi động lại Hermes, hoặc cấp quyền collMod.",
        "Drop the TTL index on started_at and restart Hermes, or grant collMod.",
    ),
    # Partner.
    "found_partner": (
        "{address}: trả lời HTTP {status}, không từ chối tài khoản",
        "{address}: answers HTTP {status}, does not refuse the credentials",
    ),
    "found_partner_login": (
        "{address}: từ chối tài khoản (HTTP {status})",
        "{address}: refuses the credentials (HTTP {status})",
    ),
    "remedy_partner_login": (
        "Sửa API_USERNAME, API_PASSWORD; hỏi đối tác tài khoản có bị khóa không.",
        "Correct API_USERNAME, API_PASSWORD; ask the partner whether the account is blocked.",
    ),
    "found_partner_address": (
        "{address}: không phải API của đối tác (HTTP {status})",
        "{address}: not the partner's API (HTTP {status})",
    ),
    "remedy_partner_address": ("Sửa API_BASE_URL.", "Correct API_BASE_URL."),
    "found_partner_unavailable": (
        "{address}: đối tác đang không phục vụ (HTTP {status})",
        "{address}: the partner is not available (HTTP {status})",
    ),
    "remedy_partner_unavailable": (
        "Chờ, hoặc báo đối tác; không phiếu nào bị mất và không mất lượt thử.",
        "Wait, or tell the partner; no document is lost, no try is used up.",
    ),
    "found_partner_name": ("không tìm thấy tên máy của {address} ({detail})", "no such host: {address} ({detail})"),
    "remedy_partner_name": ("Sửa API_BASE_URL, hoặc kiểm tra DNS.", "Correct API_BASE_URL, or look at the DNS."),
    "found_partner_refused": ("{address}: không kết nối được ({detail})", "{address}: no connection ({detail})"),
    "remedy_partner_refused": (
        "Kiểm tra địa chỉ và cổng trong API_BASE_URL, tường lửa, và đối tác có ngừng phục vụ không.",
        "Check host and port in API_BASE_URL, the firewall, and whether the partner is down.",
    ),
    "found_partner_timeout": ("{address}: không trả lời kịp ({detail})", "{address}: no answer in time ({detail})"),
    "remedy_partner_timeout": (
        "Kiểm tra tường lửa và tình trạng của đối tác; nếu chỉ chậm, tăng REQUEST_TIMEOUT_SECONDS.",
        "Check the firewall and the partner's state; if it is only slow, raise REQUEST_TIMEOUT_SECONDS.",
    ),
    "found_partner_dumb": (
        "{address}: kết nối được nhưng ngắt giữa chừng, chưa biết tài khoản có đúng không",
        "{address}: takes the connection and drops it, so that nobody can tell whether the credentials are right",
    ),
    "remedy_partner_dumb": (
        "Thử gửi một phiếu (hermes sync) và xem kết quả.",
        "Send a document (hermes sync) and see what comes of it.",
    ),
    "found_partner_other": ("{address}: {detail}", "{address}: {detail}"),
    "remedy_partner_other": (
        "Kiểm tra API_BASE_URL, mạng và tình trạng của đối tác.",
        "Check API_BASE_URL, the network and the partner's state.",
    ),
    # Clocks.
    "found_clock": ("lệch nhiều nhất {most}", "{most} apart at most"),
    "found_clock_alone": ("không có máy nào để so sánh", "nobody to compare with"),
    "found_clock_ours": (
        "đồng hồ máy này lệch {by} so với {who}",
        "this machine's clock is off by {by} against {who}",
    ),
    "remedy_clock_ours": (
        "Đồng bộ đồng hồ máy này (NTP: chrony hoặc systemd-timesyncd).",
        "Set this machine's clock by NTP (chrony or systemd-timesyncd).",
    ),
    "found_clock_ours_zone": (
        "đồng hồ máy này lệch {by} so với {who}, đúng {hours} giờ tròn: có lẽ đặt sai múi giờ",
        "this machine's clock is off by {by} against {who}, exactly {hours} hours: a wrong time zone, it seems",
    ),
    "remedy_clock_ours_zone": (
        "Đặt lại múi giờ và giờ UTC của máy này (timedatectl), rồi bật NTP.",
        "Correct this machine's time zone and UTC time (timedatectl), then switch NTP on.",
    ),
    "found_clock_theirs": ("đồng hồ của {who} lệch {by}", "the clock of {who} is off by {by}"),
    "remedy_clock_theirs": ("Đồng bộ đồng hồ của {who} bằng NTP.", "Have the clock of {who} set by NTP."),
    "found_clock_theirs_zone": (
        "đồng hồ của {who} lệch {by}, đúng {hours} giờ tròn: có lẽ đặt sai múi giờ",
        "the clock of {who} is off by {by}, exactly {hours} hours: a wrong time zone, it seems",
    ),
    "remedy_clock_theirs_zone": (
        "Báo người quản trị {who} sửa múi giờ và bật NTP.",
        "Have whoever runs {who} correct its time zone and switch NTP on.",
    ),
}
