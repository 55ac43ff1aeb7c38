import { useSyncExternalStore } from "react";

export function Bell({ tocsin }) {
  const subscribe = (watcher) => tocsin.inbox.subscribe(watcher);
  const { unread, notifications } = useSyncExternalStore(subscribe, () => tocsin.inbox.current);
  return (
    <details>
      <summary>{unread} unread</summary>
      {notifications.map(({ id, title }) => <button key={id} onClick={() => tocsin.mark("read", id)}>{title}</button>)}
    </details>
  );
}
