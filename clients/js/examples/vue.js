import { h, onUnmounted, shallowRef } from "vue";

export const Bell = {
  props: ["tocsin"],
  setup({ tocsin }) {
    const inbox = shallowRef(tocsin.inbox.current);
    onUnmounted(tocsin.inbox.subscribe((current) => void (inbox.value = current)));
    const item = ({ id, title }) => h("button", { key: id, onClick: () => tocsin.mark("read", id) }, title);
    return () => h("details", [h("summary", `${inbox.value.unread} unread`), inbox.value.notifications.map(item)]);
  },
};
