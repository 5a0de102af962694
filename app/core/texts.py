"""What operators read, in Vietnamese and English, from one catalogue."""

from app.core.check_texts import CHECK_TEXTS
from app.core.config import Language

_CATALOGUE: dict[str, tuple[str, str]] = {
    # What became of a try: written into note_log and the ledger.
    "accepted": ("Đối tác đã nhận", "Accepted by the partner"),
    "accepted_duplicate": ("Đối tác báo đã có phiếu này", "The partner already had this document"),
    "national_code": ("mã quốc gia {code}", "national code {code}"),
    "rejected": ("Bị từ chối: {reason}", "Rejected: {reason}"),
    "waiting": ("Sẽ gửi lại lúc {due}: {reason}", "Will be tried again at {due}: {reason}"),
    "unknown": (
        "Chưa rõ đối tác đã nhận hay chưa, sẽ kiểm tra lại lúc {due}: {reason}",
        "Not known whether the partner accepted; next check at {due}: {reason}",
    ),
    "unknown_held": (
        "Chưa rõ đối tác đã nhận hay chưa, cần người xử lý: {reason}",
        "Not known whether the partner accepted; a person must decide: {reason}",
    ),
    "parked": (
        "Đã thử {attempts} lần, cần người xử lý: {reason}",
        "Tried {attempts} times, needs a person: {reason}",
    ),
    "parked_by_operator": ("Tạm gác bởi {who}: {why}", "Put aside by {who}: {why}"),
    "maybe_accepted": (
        "lưu ý: một lần gửi trước có thể đã đến đối tác",
        "note: an earlier try may have reached the partner",
    ),
    # Problems on the wire.
    "timeout": (
        "đối tác không trả lời trong {seconds} giây",
        "no answer from the partner within {seconds} seconds",
    ),
    "connection_lost": (
        "mất kết nối sau khi đã gửi ({detail})",
        "the connection broke after the request had gone out ({detail})",
    ),
    "connect_failed": (
        "không kết nối được đến đối tác ({detail})",
        "cannot connect to the partner ({detail})",
    ),
    "unreadable_reply": (
        "không đọc được trả lời của đối tác ({detail})",
        "the partner's reply is not usable ({detail})",
    ),
    "credentials_refused": (
        "đối tác từ chối tài khoản ({status}): {detail}",
        "the partner refused the credentials ({status}): {detail}",
    ),
    "rate_limited": (
        "đối tác yêu cầu gửi chậm lại ({status})",
        "the partner asks to send more slowly ({status})",
    ),
    "partner_unavailable": (
        "đối tác đang không phục vụ ({status})",
        "the partner is not available ({status})",
    ),
    "partner_error": (
        "đối tác báo lỗi ({status}): {detail}",
        "the partner reports an error ({status}): {detail}",
    ),
    "gateway_error": (
        "máy chủ trung gian của đối tác không nhận được trả lời ({status})",
        "a gateway before the partner got no answer ({status})",
    ),
    "wrong_address": (
        "địa chỉ API_BASE_URL có vẻ sai (HTTP {status})",
        "API_BASE_URL does not seem to be the partner's API (HTTP {status})",
    ),
    "reply_cut": ("trả lời bị cắt hoặc quá dài", "the reply was cut or too long"),
    "reply_empty": ("trả lời rỗng", "an empty reply"),
    "no_reason": ("không nêu lý do", "no reason given"),
    "worker_lost": (
        "tiến trình gửi bị dừng giữa chừng, không rõ đối tác đã nhận chưa",
        "the sending process died; it is not known whether the partner accepted",
    ),
    # Kinds and states, as headings and in sentences.
    "state_queued": ("chờ gửi", "queued"),
    "state_sending": ("đang gửi", "sending"),
    "state_waiting": ("chờ gửi lại", "waiting"),
    "state_unknown": ("chưa rõ kết quả", "unknown"),
    "state_accepted": ("đã nhận", "accepted"),
    "state_rejected": ("bị từ chối", "rejected"),
    "state_parked": ("tạm gác", "parked"),
    "kind": ("Loại", "Kind"),
    "to_send": ("chưa đưa vào", "to send"),
    "oldest_due": ("Đến hạn cũ nhất", "Oldest due"),
    "last_scan": ("Lần quét cuối", "Last scan"),
    "workers": ("Worker đang chạy", "Workers running"),
    "never": ("chưa lần nào", "never"),
    "none_due": ("không có", "none"),
    "unshipped": ("{count} dòng nhật ký chưa chuyển sang MongoDB", "{count} log rows not yet in MongoDB"),
    "log_in_sql": ("{count} dòng nhật ký (trong SQL)", "{count} log rows (in SQL)"),
    "ago": ("{age} trước", "{age} ago"),
    "nothing_due": ("không có phiếu đến hạn", "nothing due"),
    "scanned": (
        "{kind}: tìm thấy {discovered} phiếu mới, đưa {offered} phiếu vào hàng đợi",
        "{kind}: {discovered} new documents, {offered} put on the queue",
    ),
    # hermes demo
    "demo_seeded": (
        "Đã tạo {documents} phiếu mẫu trong cơ sở dữ liệu nguồn; cứ khoảng 15 phiếu có một phiếu sai.",
        "{documents} sample documents are in the source database; about one in 15 is defective.",
    ),
    "demo_reasons": ("lý do thường gặp", "commonest reasons"),
    "demo_waiting": ("còn chờ", "waiting"),
    "demo_throughput": (
        "{documents} phiếu trong {seconds} giây ({rate} phiếu/giây, kể cả thời gian khởi động).",
        "{documents} documents in {seconds} s ({rate} per second, start-up included).",
    ),
    "demo_proof": (
        "✓ Đối chiếu: cả {accepted} phiếu đã nhận đều có ở đối tác, mỗi phiếu đúng một lần; không thừa, không thiếu.",
        "✓ Proof: each of the {accepted} accepted documents is at the partner exactly once, and nothing else is.",
    ),
    "demo_proof_fails": (
        "✗ Đối chiếu không khớp: {faults} chỗ khác nhau (nêu trên).",
        "✗ The books disagree in {faults} places (above).",
    ),
    "demo_kept": (
        "Vẫn đang chạy, nhấn Ctrl-C để dừng. Thử: cd {folder} && hermes status. Nhật ký: {folder}/{log}. "
        "Sổ của đối tác: {partner}",
        "Still running; Ctrl-C ends it. Try: cd {folder} && hermes status. Log: {folder}/{log}. "
        "The partner's ledger: {partner}",
    ),
    # The console.
    "console_at": ("Bảng điều khiển: {url}", "Console: {url}"),
    "console_setup": (
        "Chưa có người dùng nào. Mở liên kết này trong một giờ tới để tạo quản trị viên đầu tiên (chỉ dùng được một "
        "lần): {url}",
        "There is no user yet. Open this link within the hour to make the first admin (it works once): {url}",
    ),
    "console_link": (
        "Mở liên kết này để vào bảng điều khiển (chỉ dùng được một lần): {url}",
        "Open this link to enter the console (it works once): {url}",
    ),
    "user_added": ("Đã thêm {name} ({role}).", "Added {name} ({role})."),
    "user_changed": (
        "Đã ghi nhận: {name}. Mọi phiên đăng nhập của người này đã kết thúc.",
        "Noted: {name}. All sessions of this user have ended.",
    ),
    "user_name": ("Tên", "Name"),
    "user_role": ("Vai trò", "Role"),
    "user_disabled": ("đã khóa", "disabled"),
    "user_since": ("Từ", "Since"),
    "no_users": ("Chưa có người dùng nào. Thêm: hermes user add", "There are no users yet. Add one: hermes user add"),
    "ask_password": ("Mật khẩu mới", "New password"),
    "role_viewer": ("người xem", "viewer"),
    "role_operator": ("người vận hành", "operator"),
    "role_admin": ("quản trị viên", "admin"),
    # hermes token
    "token_created": (
        "Mã truy cập cho {owner} ({role}), dùng được đến {until}. Mã chỉ hiện một lần này; hãy lưu lại:",
        "A token for {owner} ({role}), good until {until}. It is shown this once; keep it:",
    ),
    "token_revoked": ("Đã thu hồi mã truy cập {token}.", "The token {token} is revoked."),
    "no_tokens": (
        "Chưa có mã truy cập nào. Tạo: hermes token create",
        "There are no tokens yet. Make one: hermes token create",
    ),
    "token": ("mã truy cập", "token"),
    "token_purpose": ("dùng để", "purpose"),
    "token_expires": ("hết hạn", "expires"),
    "token_last_used": ("dùng lần cuối", "last used"),
    "token_is_good": ("dùng được", "good"),
    "token_is_expired": ("đã hết hạn", "expired"),
    "token_is_revoked": ("đã thu hồi", "revoked"),
    # Tables.
    "ledger_current": ("Sổ gửi đã ở phiên bản mới nhất.", "The ledger is up to date."),
    "source_created": ("Đã tạo: {tables}", "Created: {tables}"),
    "samples_not_needed": (
        "Các bảng nguồn đã có phiếu; không thêm phiếu mẫu.",
        "The source tables hold documents already; no samples were added.",
    ),
    "source_complete": ("Các bảng nguồn đã có đủ.", "The source tables are complete already."),
    # What operators do.
    "not_in_ledger": (
        "Không có {kind} {code} trong sổ gửi. Nếu phiếu có trong cơ sở dữ liệu nguồn, lần quét kế tiếp (hoặc hermes "
        "sync) sẽ lấy vào.",
        "There is no {kind} {code} in the ledger. If the source database has it, the next scan (or hermes sync) takes "
        "it up.",
    ),
    "nothing_selected": ("Không có phiếu nào phù hợp.", "No document matches."),
    "confirm_retry": ("Gửi lại {count} phiếu?", "Send {count} documents again?"),
    "confirm_park": ("Tạm gác {count} phiếu?", "Put aside {count} documents?"),
    "done_retry": ("{count} phiếu sẽ được gửi lại ngay.", "{count} documents will be sent again at once."),
    "done_park": ("{count} phiếu đã tạm gác.", "{count} documents were put aside."),
    "resolved_accepted": (
        "{who} xác nhận đối tác đã nhận, mã quốc gia {code}: {why}",
        "{who} says the partner accepted it, national code {code}: {why}",
    ),
    "resolved_reject": (
        "{who} xác nhận đối tác không nhận: {why}",
        "{who} says the partner did not accept it: {why}",
    ),
    "resolved": ("Đã ghi nhận: {kind} {code}.", "Noted: {kind} {code}."),
    "not_unknown": (
        "{kind} {code} không ở trạng thái chưa rõ kết quả; không có gì thay đổi.",
        "The outcome of {kind} {code} is not unknown; nothing was changed.",
    ),
    "the_partner": ("đối tác", "the partner"),
    "the_facility": ("cơ sở {facility}", "facility {facility}"),
    "paused": ("Đã tạm ngừng gửi: {whom}.", "Sending is paused: {whom}."),
    "resumed": ("Đã cho gửi lại: {whom}.", "Sending goes on: {whom}."),
    "not_paused": ("Không có tạm ngừng nào: {whom}.", "Nothing was paused: {whom}."),
    "circuit": (
        "Đang tạm ngừng gửi cho {whom} đến {until}: {reason}",
        "Sending is paused for {whom} until {until}: {reason}",
    ),
    "until_resumed": ("khi có lệnh hermes resume", "somebody runs hermes resume"),
    "late_answer": ("trả lời đến muộn", "late answer"),
    "aborted": ("Đã dừng, không có gì thay đổi.", "Stopped; nothing was changed."),
    "history": ("Các lần gửi", "Attempts"),
    "no_attempts": ("Chưa gửi lần nào.", "No attempts yet."),
    "log_incomplete": (
        "MongoDB không trả lời: chỉ hiện các dòng nhật ký còn trong SQL.",
        "MongoDB does not answer: only the log rows still in SQL are shown.",
    ),
    "last_request": ("Yêu cầu gần nhất", "Last request"),
    "last_reply": ("Trả lời gần nhất", "Last reply"),
    "next_step": ("Tiếp theo", "Next"),
    "next_due": ("tự gửi lại lúc {due}", "sent again by itself at {due}"),
    "next_person": ("cần người xử lý: sửa phiếu rồi hermes retry", "needs a person: correct it, then hermes retry"),
    "next_resolve": (
        "cần người xác nhận với đối tác rồi chạy hermes resolve",
        "a person must find out from the partner, then hermes resolve",
    ),
    "next_nothing": ("không cần làm gì", "nothing to do"),
    "next_running": ("đang chờ kết quả lần gửi này", "waiting for the outcome of this send"),
    "valid_all": ("{count} phiếu hợp lệ.", "{count} documents are valid."),
    "valid_some": (
        "{invalid} trong {count} phiếu sẽ bị từ chối:",
        "{invalid} of {count} documents would be refused:",
    ),
    # Lists, exports, reports.
    "deliveries": ("Phiếu", "Deliveries"),
    "reconciliation": ("Đối soát", "Reconciliation"),
    "code": ("Mã", "Code"),
    "facility": ("Cơ sở", "Facility"),
    "facilities": ("Số cơ sở", "Facilities"),
    "document_date": ("Ngày chứng từ", "Document date"),
    "state": ("Trạng thái", "State"),
    "attempts": ("Số lần gửi", "Attempts"),
    "national_code_heading": ("Mã quốc gia", "National code"),
    "error_code": ("Mã lỗi", "Error code"),
    "error_message": ("Lý do", "Reason"),
    "due_at": ("Đến hạn lúc", "Due at"),
    "first_seen_at": ("Thấy lần đầu lúc", "First seen at"),
    "updated_at": ("Thay đổi lúc", "Changed at"),
    "last_seen": ("Lần cuối", "Last seen"),
    "cause": ("Nguyên nhân", "Cause"),
    "example": ("Ví dụ", "Example"),
    "who": ("Ai", "Who"),
    "why": ("Lý do", "Why"),
    "total": ("Tổng cộng", "Total"),
    "undated": ("không có ngày", "no date"),
    "in_source": ("Trong nguồn", "In the source"),
    "delivered": ("Đã nhận", "Delivered"),
    "balance_waiting": ("Đang chờ", "Waiting"),
    "refused": ("Bị từ chối", "Refused"),
    "never_seen": ("Hermes chưa từng thấy", "Never seen"),
    "gone": ("Không còn trong nguồn", "No longer in the source"),
    "list_count": ("Hiện {shown} trong {count} phiếu.", "{shown} of {count} documents."),
    "written": ("Đã ghi {count} dòng vào {file}.", "{count} rows written to {file}."),
    "written_to": ("Đã ghi vào {file}.", "Written to {file}."),
    "nothing_refused": ("Không có phiếu nào bị từ chối.", "Nothing is refused."),
    "nothing_audited": ("Không có thao tác nào phù hợp.", "No action matches."),
    # hermes replay
    "confirm_replay": ("Gửi lại các phiếu đã chọn, đợt {name}?", "Replay what is selected, as {name}?"),
    "replay_created": (
        "Đợt gửi lại {name} có {count} phiếu; các lần quét sẽ gửi dần.",
        "The replay {name} has {count} documents; scans release them bit by bit.",
    ),
    "replay_name": ("Đợt gửi lại", "Replay"),
    "replay_turns": ("Đã đến lượt", "Had their turn"),
    "replay_running": ("đang chạy", "running"),
    "replay_paused": ("tạm ngừng", "paused"),
    "replay_aborted": ("đã hủy", "aborted"),
    "replay_finished": ("đã xong", "finished"),
    "replay_count_waiting": ("chưa đến lượt", "waiting for their turn"),
    "replay_count_under_way": ("đang gửi", "under way"),
    "replay_count_accepted": ("đã nhận", "accepted"),
    "replay_count_refused": ("lại bị từ chối", "refused again"),
    "replay_count_skipped": ("bỏ qua (đã được nhận hoặc đang gửi)", "skipped (accepted or under way by themselves)"),
    "no_replay": ("Không có đợt gửi lại nào tên {name}.", "There is no replay {name}."),
    "replay_now": ("Đợt gửi lại {name}: {state}.", "The replay {name} is {state}."),
    "replay_unchanged": (
        "Đợt gửi lại {name}: {state}; không có gì thay đổi.",
        "The replay {name} is {state}; nothing was changed.",
    ),
    # Deliveries that cannot be sent.
    "worker_lost_unsent": (
        "tiến trình xử lý phiếu này bị dừng nhiều lần trước khi gửi",
        "processes died several times with this document before it was sent",
    ),
    "document_gone": (
        "phiếu không còn trong cơ sở dữ liệu nguồn",
        "the document is no longer in the source database",
    ),
} | CHECK_TEXTS


def say(language: Language, key: str, /, **values: object) -> str:
    """The sentence `key` in `language`. Raises KeyError for an unknown key or a missing value."""
    vietnamese, english = _CATALOGUE[key]
    return (vietnamese if language is Language.VI else english).format(**values)
