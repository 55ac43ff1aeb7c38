/**
 * What the inbox says, by language. A page may change them, or add its own: they are looked up when
 * an element is connected.
 * @module
 */

/**
 * @typedef {object} Texts
 * @property {string} title
 * @property {(unread: number) => string} bell what the bell is called
 * @property {string} all
 * @property {string} unread
 * @property {string} markAll
 * @property {string} markRead
 * @property {string} markUnread
 * @property {string} archive
 * @property {string} empty
 * @property {string} emptyUnread
 * @property {string} loading
 * @property {string} offline
 * @property {string} late
 * @property {string} stopped
 * @property {string} retry
 * @property {string} failed
 * @property {string} preferences what the switches are for
 * @property {string} critical what no switch turns off
 * @property {string} inbox the inbox among the ways to a person
 * @property {string} quietHours
 * @property {string} from when quiet hours begin
 * @property {string} to when they end
 * @property {string} pushOn
 * @property {string} pushOff
 * @property {string} pushDenied what to do where the browser has been told not to ask
 * @property {(title: string) => string} arrived
 */

/** @type {Record<string, Texts>} */
export const TEXTS = {
  en: {
    title: "Notifications",
    bell: (unread) => (unread === 0 ? "Notifications" : `Notifications, ${unread} unread`),
    all: "All",
    unread: "Unread",
    markAll: "Mark all as read",
    markRead: "Mark as read",
    markUnread: "Mark as unread",
    archive: "Archive",
    empty: "Nothing here yet",
    emptyUnread: "All read",
    loading: "Loading …",
    offline: "Offline. New notifications come when the connection is back.",
    late: "Notifications may come late at the moment.",
    stopped: "Not connected.",
    retry: "Connect",
    failed: "That did not work. Try again.",
    preferences: "What to hear of",
    critical: "Critical notifications always come.",
    inbox: "Inbox",
    quietHours: "Quiet hours",
    from: "Quiet from",
    to: "Quiet until",
    pushOn: "Notify me in this browser",
    pushOff: "Stop notifying me in this browser",
    pushDenied: "This browser does not allow notifications of this site. Change that in its settings.",
    arrived: (title) => `New notification: ${title}`,
  },
  de: {
    title: "Mitteilungen",
    bell: (unread) => (unread === 0 ? "Mitteilungen" : `Mitteilungen, ${unread} ungelesen`),
    all: "Alle",
    unread: "Ungelesen",
    markAll: "Alle als gelesen markieren",
    markRead: "Als gelesen markieren",
    markUnread: "Als ungelesen markieren",
    archive: "Archivieren",
    empty: "Noch nichts da",
    emptyUnread: "Alles gelesen",
    loading: "Wird geladen …",
    offline: "Offline. Neue Mitteilungen kommen, sobald die Verbindung wieder da ist.",
    late: "Mitteilungen können gerade verspätet kommen.",
    stopped: "Nicht verbunden.",
    retry: "Verbinden",
    failed: "Das hat nicht geklappt. Bitte noch einmal versuchen.",
    preferences: "Wovon ich hören möchte",
    critical: "Dringendes kommt immer.",
    inbox: "Eingang",
    quietHours: "Ruhezeit",
    from: "Ruhe von",
    to: "Ruhe bis",
    pushOn: "In diesem Browser benachrichtigen",
    pushOff: "In diesem Browser nicht mehr benachrichtigen",
    pushDenied: "Dieser Browser lässt keine Mitteilungen dieser Seite zu. Das lässt sich in seinen Einstellungen ändern.",
    arrived: (title) => `Neue Mitteilung: ${title}`,
  },
  fr: {
    title: "Notifications",
    bell: (unread) => (unread === 0 ? "Notifications" : `Notifications, ${unread} non lues`),
    all: "Toutes",
    unread: "Non lues",
    markAll: "Tout marquer comme lu",
    markRead: "Marquer comme lu",
    markUnread: "Marquer comme non lu",
    archive: "Archiver",
    empty: "Rien pour l’instant",
    emptyUnread: "Tout est lu",
    loading: "Chargement …",
    offline: "Hors ligne. Les notifications arriveront au retour de la connexion.",
    late: "Les notifications peuvent arriver en retard en ce moment.",
    stopped: "Non connecté.",
    retry: "Se connecter",
    failed: "Cela n’a pas fonctionné. Réessayez.",
    preferences: "Ce que je veux recevoir",
    critical: "Les notifications critiques arrivent toujours.",
    inbox: "Boîte",
    quietHours: "Heures calmes",
    from: "Calme à partir de",
    to: "Calme jusqu’à",
    pushOn: "Me notifier dans ce navigateur",
    pushOff: "Ne plus me notifier dans ce navigateur",
    pushDenied: "Ce navigateur n’autorise pas les notifications de ce site. Changez cela dans ses réglages.",
    arrived: (title) => `Nouvelle notification : ${title}`,
  },
};

/** The texts of the language, or of the one that it is a kind of; else English. @param {string} lang @returns {Texts} */
export function textsOf(lang) {
  const [kind = ""] = lang.split("-");
  return TEXTS[lang] ?? TEXTS[kind] ?? /** @type {Texts} */ (TEXTS.en);
}
